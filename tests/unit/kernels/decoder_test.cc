// The decoder before its result is rounded to the dtype: what the stated bounds
// speak of. Every lane type computes the same, so the portable one stands for
// all; the suite holds the others to the bounds through their rounded results.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "kernels/cpu/loops.h"
#include "kernels/cpu/simd_portable.h"
#include "kernels/reference/reference.h"
#include "tests/unit/kernels/number.h"
#include "tests/unit/kernels/sample.h"

namespace invact::kernels {
namespace {

template <class F, class T>
void ExpectWithinBounds(int function, int dtype) {
  const Sample sample = SampleOf(dtype, function);
  double largest = 0, at = 0, squares = 0, weights = 0, bias = 0;
  for (size_t i = 0; i < sample.bits.size(); ++i) {
    const double x = FromBits(dtype, sample.bits[i]);
    const double y = Rounded(dtype, invact_reference_value(function, x));
    Portable::Mask bit{};
    bit.v[0] = static_cast<float>(x) < F::kTables.lines.x0;
    const Portable::Float slope = Kernel<Portable, F, T>::SlopeOf(
        Portable::Set(static_cast<float>(y)), bit);
    const double error = slope.v[0] - invact_reference_slope(function, x);
    ASSERT_FALSE(std::isnan(error)) << "x = " << x;
    if (std::fabs(error) > largest) {
      largest = std::fabs(error);
      at = x;
    }
    squares += sample.weights[i] * error * error;
    bias += sample.weights[i] * error;
    weights += sample.weights[i];
  }
  const double rms = std::sqrt(squares / weights);
  const Bounds& bounds = kBounds<F>;
  std::printf("%s %s dtype %d: max %.3e at %.6f, rms %.3e, mean %+.1e\n",
              bounds.op, bounds.variant, dtype, largest, at, rms,
              bias / weights);
  EXPECT_LE(largest, bounds.error_max[dtype]);
  EXPECT_LE(rms, bounds.error_rms[dtype]);
}

TEST(Decoder, GeluStaysWithinItsStatedBounds) {
  ExpectWithinBounds<Gelu, float>(INVACT_REFERENCE_GELU, INVACT_F32);
  ExpectWithinBounds<Gelu, Bf16>(INVACT_REFERENCE_GELU, INVACT_BF16);
  ExpectWithinBounds<Gelu, F16>(INVACT_REFERENCE_GELU, INVACT_F16);
}

TEST(Decoder, GeluTanhStaysWithinItsStatedBounds) {
  ExpectWithinBounds<GeluTanh, float>(INVACT_REFERENCE_GELU_TANH, INVACT_F32);
  ExpectWithinBounds<GeluTanh, Bf16>(INVACT_REFERENCE_GELU_TANH, INVACT_BF16);
  ExpectWithinBounds<GeluTanh, F16>(INVACT_REFERENCE_GELU_TANH, INVACT_F16);
}

TEST(Decoder, SiluStaysWithinItsStatedBounds) {
  ExpectWithinBounds<Silu, float>(INVACT_REFERENCE_SILU, INVACT_F32);
  ExpectWithinBounds<Silu, Bf16>(INVACT_REFERENCE_SILU, INVACT_BF16);
  ExpectWithinBounds<Silu, F16>(INVACT_REFERENCE_SILU, INVACT_F16);
}

}  // namespace
}  // namespace invact::kernels
