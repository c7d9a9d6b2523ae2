// The branch bit in y's lowest mantissa bit, and the decoders of such a y
// before their result is rounded: what CUDA does in float16, and for Hardswish.
#include "kernels/bit_in_y.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <vector>

#include "kernels/cpu/simd_portable.h"
#include "kernels/functions.h"
#include "kernels/reference/reference.h"
#include "tests/unit/kernels/cases.h"
#include "tests/unit/kernels/floor.h"
#include "tests/unit/kernels/number.h"
#include "tests/unit/kernels/sample.h"

namespace invact::kernels {
namespace {

using Bf16Bit = BitInY<uint16_t, 0x7f80u>;
using F16Bit = BitInY<uint16_t, 0x7c00u>;

uint32_t Put(int dtype, uint32_t y, unsigned bit) {
  const auto word = static_cast<uint16_t>(y);
  return dtype == INVACT_BF16 ? Bf16Bit::Put(word, bit)
                              : F16Bit::Put(word, bit);
}
unsigned Take(int dtype, uint32_t y) {
  const auto word = static_cast<uint16_t>(y);
  return dtype == INVACT_BF16 ? Bf16Bit::Take(word) : F16Bit::Take(word);
}

TEST(BitInY, IsKeptInNegativesAndNanAlone) {
  for (const int dtype : {INVACT_BF16, INVACT_F16}) {
    for (uint32_t y = 0; y < 65536; ++y) {
      const double value = FromBits(dtype, y);
      for (const unsigned bit : {0u, 1u}) {
        const uint32_t put = Put(dtype, y, bit);
        if (std::isnan(value)) {
          ASSERT_TRUE(std::isnan(FromBits(dtype, put))) << y;
          ASSERT_EQ(Take(dtype, put), bit) << y;
        } else if (std::signbit(value) && std::isfinite(value)) {
          ASSERT_EQ(put, y / 2 * 2 + bit) << y;
          ASSERT_EQ(Take(dtype, put), bit) << y;
        } else {
          ASSERT_EQ(put, y);
          ASSERT_EQ(Take(dtype, put), 0u) << y;
        }
      }
    }
  }
}

// At every length around the parts that the loops take; nothing behind the end
// is written, and what a last byte has over is 0.
template <class How>
void ExpectPutAndTaken(int dtype, size_t n) {
  using Word = typename How::Bits;
  constexpr size_t kBehind = 3;
  const invact_call call = {sizeof(call), dtype, nullptr, nullptr, 0};
  std::vector<Word> y(n + kBehind);
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] = static_cast<Word>((i * 2654435761u) >> (i % 7));
  }
  std::vector<uint8_t> side(INVACT_SIDE_BYTES(n) + kBehind, 0xa5), taken = side;
  for (size_t i = 0; i < n; ++i) {
    if (i * 7 / 3 % 2 != 0) side[i / 8] ^= 1 << i % 8;
  }
  std::vector<Word> put = y;

  ASSERT_EQ(invact_put_bits_in_y_cpu(&call, put.data(), side.data(),
                                     static_cast<int64_t>(n)),
            0);
  ASSERT_EQ(invact_take_bits_from_y_cpu(&call, put.data(), taken.data(),
                                        static_cast<int64_t>(n)),
            0);

  for (size_t i = 0; i < n; ++i) {
    const unsigned bit = side[i / 8] >> i % 8 & 1;
    ASSERT_EQ(put[i], How::Put(y[i], bit)) << i << " of " << n;
    ASSERT_EQ(taken[i / 8] >> i % 8 & 1u, How::Take(put[i]))
        << i << " of " << n;
  }
  for (size_t i = n; i < y.size(); ++i) ASSERT_EQ(put[i], y[i]);
  if (n % 8 != 0) {
    ASSERT_EQ(taken[n / 8] >> n % 8, 0) << n;
  }
  for (size_t i = INVACT_SIDE_BYTES(n); i < taken.size(); ++i) {
    ASSERT_EQ(taken[i], 0xa5) << n;
  }
}

TEST(BitInY, IsPutAndTakenAtEveryLength) {
  for (size_t n = 0; n < 70; ++n) {
    ExpectPutAndTaken<BitInY<uint32_t, 0x7f800000u>>(INVACT_F32, n);
    ExpectPutAndTaken<Bf16Bit>(INVACT_BF16, n);
    ExpectPutAndTaken<F16Bit>(INVACT_F16, n);
  }
  for (size_t n : {1023, 1024, 1025, 2047, 2050, 5003}) {
    ExpectPutAndTaken<BitInY<uint32_t, 0x7f800000u>>(INVACT_F32, n);
    ExpectPutAndTaken<Bf16Bit>(INVACT_BF16, n);
    ExpectPutAndTaken<F16Bit>(INVACT_F16, n);
  }
}

// The stored y as a decoder gets it.
uint32_t Cleared(int dtype, uint32_t stored) {
  return stored ^ Take(dtype, stored);
}

template <class F>
class DecoderOfBitInY : public testing::Test {
 protected:
  // As for packed bits: 1.5 and 1.2 times the floor of what is stored.
  template <int kDtype>
  static void ExpectNearTheFloor() {
    const Case one = CasesOf(F::kBounds.op, F::kBounds.variant).at(0);
    const Sample sample = SampleOf(kDtype, one.reference);
    const double x0 = invact_reference_minimum(one.reference);
    Scalars scalars = {};
    scalars.cells = 2;
    double largest = 0, at = 0, squares = 0, weights = 0;
    for (size_t i = 0; i < sample.bits.size(); ++i) {
      const double x = FromBits(kDtype, sample.bits[i]);
      const unsigned bit = static_cast<float>(x) < static_cast<float>(x0);
      const uint32_t stored =
          Put(kDtype, ToBits(kDtype, invact_reference_value(one.reference, x)),
              bit);
      Portable::Mask taken{};
      taken.v[0] = Take(kDtype, stored) != 0;
      const double slope = F::template Slope<Portable, kDtype>(
                               Portable::Set(static_cast<float>(
                                   FromBits(kDtype, Cleared(kDtype, stored)))),
                               taken, scalars)
                               .v[0];
      const double error = slope - invact_reference_slope(one.reference, x);
      ASSERT_FALSE(std::isnan(error)) << "x = " << x;
      if (std::fabs(error) > largest) {
        largest = std::fabs(error);
        at = x;
      }
      squares += sample.weights[i] * error * error;
      weights += sample.weights[i];
    }
    const double rms = std::sqrt(squares / weights);
    const Floor floor =
        FloorOf(kDtype, one.reference,
                [](uint32_t y, uint32_t bit) { return Put(kDtype, y, bit); });
    std::printf("%s dtype %d: max %.3e at %.6f, rms %.3e; floor %.3e, %.3e\n",
                one.name.c_str(), kDtype, largest, at, rms, floor.largest,
                floor.rms);
    EXPECT_LE(largest, 1.5 * floor.largest) << one.name;
    EXPECT_LE(rms, 1.2 * floor.rms) << one.name;
  }
};

using WithBitOfNegatives =
    testing::Types<Gelu, GeluTanh, Silu, Mish, Hardswish>;
TYPED_TEST_SUITE(DecoderOfBitInY, WithBitOfNegatives);

TYPED_TEST(DecoderOfBitInY, StaysNearTheFloorOfWhatIsStored) {
  this->template ExpectNearTheFloor<INVACT_BF16>();
  this->template ExpectNearTheFloor<INVACT_F16>();
}

// -inf times 0: NaN, and yet left of the minimum.
TEST(BitInY, HardswishOfMinusInfinityHasNoSlope) {
  const auto stored = F16Bit::Put(0xfe00, 1);
  Portable::Mask bit{};
  bit.v[0] = F16Bit::Take(stored) != 0;
  Scalars scalars = {};
  scalars.cells = 2;
  EXPECT_EQ((Hardswish::Slope<Portable, INVACT_F16>(
                 Portable::Set(static_cast<float>(
                     FromBits(INVACT_F16, Cleared(INVACT_F16, stored)))),
                 bit, scalars)
                 .v[0]),
            0);
}

}  // namespace
}  // namespace invact::kernels
