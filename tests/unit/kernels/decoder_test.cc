// The decoders before their result is rounded to the dtype: what the stated
// bounds speak of. Every lane type computes the same, so the portable one
// stands for all; the suite holds the others to the bounds through their
// rounded results.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "kernels/cpu/simd_portable.h"
#include "kernels/functions.h"
#include "kernels/reference/reference.h"
#include "tests/unit/kernels/cases.h"
#include "tests/unit/kernels/floor.h"
#include "tests/unit/kernels/number.h"
#include "tests/unit/kernels/sample.h"

namespace invact::kernels {
namespace {

template <class F>
class Decoder : public testing::Test {
 protected:
  static const Bounds& bounds() { return F::kBounds; }
  static std::vector<Case> Cases() {
    return CasesOf(bounds().op, bounds().variant);
  }

  template <int kDtype>
  static void ExpectWithinBounds(const Case& one) {
    const Sample sample = SampleOf(kDtype, one.reference);
    const double x0 = invact_reference_minimum(one.reference);
    Scalars scalars = {};
    for (size_t i = 0; i < one.scalars.size(); ++i) {
      scalars.values[i] = static_cast<float>(one.scalars[i]);
    }
    double largest = 0, at = 0, squares = 0, weights = 0, bias = 0;
    for (size_t i = 0; i < sample.bits.size(); ++i) {
      const double x = FromBits(kDtype, sample.bits[i]);
      const double y =
          Rounded(kDtype, invact_reference_value(one.reference, x));
      Portable::Mask bit{};
      bit.v[0] = static_cast<float>(x) < static_cast<float>(x0);
      const Portable::Float slope = F::template Slope<Portable, kDtype>(
          Portable::Set(static_cast<float>(y)), bit, scalars);
      const double error =
          slope.v[0] - invact_reference_slope(one.reference, x);
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
    std::printf("%s dtype %d: max %.3e at %.6f, rms %.3e, mean %+.1e\n",
                one.name.c_str(), kDtype, largest, at, rms, bias / weights);
    EXPECT_LE(largest, bounds().error_max[kDtype]) << one.name;
    EXPECT_LE(rms, bounds().error_rms[kDtype]) << one.name;
    if (kDtype == INVACT_F32 && F::kSideBits > 0) {
      EXPECT_LE(largest, 7e-5) << one.name;
      EXPECT_LE(rms, 1.3e-6) << one.name;
    }
  }
};

template <class F>
struct TestTypes;
template <class... F>
struct TestTypes<FunctionList<F...>> {
  using List = testing::Types<F...>;
};
TYPED_TEST_SUITE(Decoder, TestTypes<AllFunctions>::List);

// In float32 this y, rounded correctly, leaves room for the last places that
// PyTorch's is off by.
TYPED_TEST(Decoder, StaysWithinItsStatedBounds) {
  ASSERT_FALSE(this->Cases().empty());
  for (const Case& one : this->Cases()) {
    this->template ExpectWithinBounds<INVACT_F32>(one);
    this->template ExpectWithinBounds<INVACT_BF16>(one);
    this->template ExpectWithinBounds<INVACT_F16>(one);
  }
}

// Hardsigmoid's floor is 0: what 1 / 6 loses in float32 is left.
TYPED_TEST(Decoder, StatesBoundsNearTheFloorOfThe16BitTypes) {
  const Case one = this->Cases().at(0);
  for (int dtype : {INVACT_BF16, INVACT_F16}) {
    const Floor floor = FloorOf(dtype, one.reference);
    std::printf("%s dtype %d: floor max %.3e, rms %.3e\n", one.name.c_str(),
                dtype, floor.largest, floor.rms);
    EXPECT_LE(this->bounds().error_max[dtype], 1.5 * floor.largest + 1e-8);
    EXPECT_LE(this->bounds().error_rms[dtype], 1.2 * floor.rms + 1e-8);
  }
}

TEST(Softplus, TakesOnlyScalarsWithWhichItCanBeTold) {
  const auto accepts = [](double beta, double threshold) {
    const double scalars[] = {beta, threshold};
    return Softplus::Accepts(scalars);
  };
  EXPECT_TRUE(accepts(1, 20));
  EXPECT_TRUE(accepts(0.5, 15));
  EXPECT_FALSE(accepts(0, 20));
  EXPECT_FALSE(accepts(-1, 20));
  EXPECT_FALSE(accepts(1, 1));
  EXPECT_FALSE(accepts(NAN, 20));
  EXPECT_FALSE(accepts(1, NAN));
  EXPECT_FALSE(accepts(INFINITY, 20));
  EXPECT_FALSE(accepts(1, INFINITY));
}

}  // namespace
}  // namespace invact::kernels
