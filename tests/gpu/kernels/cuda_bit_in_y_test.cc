// INVACT_BITS=mantissa on a GPU: the branch bits into y and out of it, and the
// kernels that do so in their own pass.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "kernels/reference/reference.h"
#include "tests/gpu/kernels/library_path.h"
#include "tests/unit/kernels/harness.h"
#include "tests/unit/kernels/number.h"
#include "tests/unit/kernels/subject.h"

namespace invact::kernels {
namespace {

using Put = int (*)(const invact_call*, void*, const void*, int64_t);
using Take = int (*)(const invact_call*, const void*, void*, int64_t);

// What the documentation says of a y and its bit, by the numbers.
bool HasBit(int dtype, uint32_t y) {
  const double value = FromBits(dtype, y);
  return std::isnan(value) || (std::signbit(value) && std::isfinite(value));
}
void ExpectPut(int dtype, uint32_t before, unsigned bit, uint32_t after) {
  if (std::isnan(FromBits(dtype, before))) {
    ASSERT_TRUE(std::isnan(FromBits(dtype, after))) << before;
    ASSERT_EQ(after & 1, bit) << before;
  } else {
    ASSERT_EQ(after, HasBit(dtype, before) ? before / 2 * 2 + bit : before)
        << before;
  }
}

// On every pattern (in float32 every 16-bit pattern twice over), at every
// length and offset to 33.
template <class Word>
void ExpectBitsInY(int dtype, Put put, Take take) {
  const invact_call call = {sizeof(call), dtype, nullptr, nullptr, 0};
  Memory& memory = *Subjects().at(0).memory;
  const auto check = [&](const std::vector<Word>& y, size_t offset) {
    const size_t n = y.size();
    Bytes side(INVACT_SIDE_BYTES(n)), taken(side.size());
    for (size_t i = 0; i < n; ++i) side[i / 8] |= (i * 7 / 3 & 1) << i % 8;
    auto* device =
        static_cast<Word*>(memory.Allocate((n + offset + 1) * sizeof(Word)));
    void* bits = memory.Allocate(side.size());
    memory.CopyIn(device + offset, y.data(), n * sizeof(Word));
    memory.CopyIn(bits, side.data(), side.size());
    ASSERT_EQ(put(&call, device + offset, bits, n), 0);
    ASSERT_EQ(take(&call, device + offset, bits, n), 0);
    std::vector<Word> got(n);
    memory.CopyOut(got.data(), device + offset, n * sizeof(Word));
    memory.CopyOut(taken.data(), bits, side.size());
    for (size_t i = 0; i < n; ++i) {
      const unsigned bit = side[i / 8] >> i % 8 & 1;
      ExpectPut(dtype, y[i], bit, got[i]);
      ASSERT_EQ(taken[i / 8] >> i % 8 & 1, HasBit(dtype, y[i]) ? int(bit) : 0)
          << y[i];
    }
    memory.Free(device);
    memory.Free(bits);
  };
  std::vector<Word> all;
  for (uint32_t pattern = 0; pattern < INVACT_PATTERNS; ++pattern) {
    all.push_back(sizeof(Word) == 2 ? Word(pattern)
                                    : Word(pattern << 16 | pattern));
  }
  check(all, 0);
  for (size_t offset : {0, 1, 3}) {
    for (size_t n = 1; n <= 33; ++n) {
      check(std::vector<Word>(all.end() - 0x2010, all.end() - 0x2010 + n),
            offset);
    }
  }
}

TEST(CudaBitInY, TellsWhatWasPutIntoNegativesAndTouchesNothingElse) {
  if (Subjects().empty()) GTEST_SKIP() << "no CUDA device";
  void* library = dlopen(LibraryPath().c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr);
  const auto put =
      reinterpret_cast<Put>(dlsym(library, "invact_put_bits_in_y"));
  const auto take =
      reinterpret_cast<Take>(dlsym(library, "invact_take_bits_from_y"));
  ASSERT_TRUE(put != nullptr && take != nullptr);
  ExpectBitsInY<uint32_t>(INVACT_F32, put, take);
  ExpectBitsInY<uint16_t>(INVACT_BF16, put, take);
  ExpectBitsInY<uint16_t>(INVACT_F16, put, take);
}

class CudaOnePass : public testing::TestWithParam<size_t> {
 protected:
  const Subject& subject() const { return Subjects()[GetParam()]; }
  double SlopeOf(double x) const {
    return invact_reference_slope(subject().reference, x);
  }

  // Forward of x, with y in place of x, then dx of ones, by kernels that are
  // told that the bits are in y and get no others.
  void Run(int dtype, const Bits& x, Bits* y, Bits* dx) const {
    const invact_activation& a = *subject().activation;
    const invact_call call = {sizeof(call), dtype, nullptr,
                              subject().scalars.data(), INVACT_BIT_IN_Y};
    Memory& memory = *subject().memory;
    const size_t width = kFormats[dtype].bytes, bytes = x.size() * width;
    const auto to_device = [&](auto element) {
      std::vector<uint8_t> packed(bytes);
      for (size_t i = 0; i < x.size(); ++i) {
        const uint32_t bits = element(i);
        std::memcpy(&packed[i * width], &bits, width);
      }
      void* device = memory.Allocate(bytes);
      memory.CopyIn(device, packed.data(), bytes);
      return device;
    };
    const auto to_host = [&](const void* device) {
      std::vector<uint8_t> packed(bytes);
      memory.CopyOut(packed.data(), device, bytes);
      Bits bits(x.size());
      for (size_t i = 0; i < x.size(); ++i) {
        std::memcpy(&bits[i], &packed[i * width], width);
      }
      return bits;
    };
    const auto n = static_cast<int64_t>(x.size());
    void* values = to_device([&](size_t i) { return x[i]; });
    void* gradient = to_device([&](size_t) { return ToBits(dtype, 1); });
    ASSERT_EQ(a.forward(&call, values, values, nullptr, n), 0);
    ASSERT_EQ(a.backward(&call, values, nullptr, gradient, gradient, n), 0);
    *y = to_host(values);
    *dx = to_host(gradient);
    memory.Free(values);
    memory.Free(gradient);
  }
};

// All 16-bit patterns, in float32 a grid and what is no number. Dtypes with a
// table learn such y from PyTorch: tests/gpu/jobs has them. An odd length.
TEST_P(CudaOnePass, PutsItsBitsIntoYAndDecodesWhatIsLeft) {
  const invact_activation& a = *subject().activation;
  if ((a.flags & INVACT_SERVES_BIT_IN_Y) == 0) GTEST_SKIP() << "not served";
  for (int dtype = 0; dtype < INVACT_DTYPES; ++dtype) {
    if ((a.table_dtypes >> dtype & 1) != 0) continue;
    Bits x;
    for (uint32_t i = 0; i + 5 < INVACT_PATTERNS; ++i) {
      x.push_back(dtype == INVACT_F32 ? ToBits(dtype, -14 + i * 28.0 / 65536)
                                      : i + 5);
    }
    for (const double special :
         std::initializer_list<double>{-INFINITY, INFINITY, NAN, -0.0, 0.0}) {
      x.push_back(ToBits(dtype, special));
    }
    x.push_back(ToBits(dtype, -0.5));
    const Forwarded packed = Harness(subject(), dtype).Forward(x);

    Bits y, dx;
    Run(dtype, x, &y, &dx);

    const double loss = 2;
    for (size_t i = 0; i < x.size(); ++i) {
      const double input = FromBits(dtype, x[i]), got = FromBits(dtype, dx[i]);
      if (std::isnan(FromBits(dtype, packed.y[i]))) {
        ASSERT_TRUE(std::isnan(FromBits(dtype, y[i]))) << input;
      } else {
        ExpectPut(dtype, packed.y[i], packed.side[i / 8] >> i % 8 & 1, y[i]);
      }
      if (std::isnan(input)) continue;
      if (std::isinf(input)) {
        const double truth = SlopeOf(input);
        ASSERT_TRUE(got == truth || std::isnan(FromBits(dtype, y[i])));
        if (subject().reference == INVACT_REFERENCE_HARDSWISH) {
          ASSERT_EQ(got, truth) << input;
        }
        continue;
      }
      const double half_step =
          std::ldexp(std::fabs(got) + 1e-30, -kFormats[dtype].mantissa - 1);
      ASSERT_LE(std::fabs(got - SlopeOf(input)),
                loss * a.error_max[dtype] + half_step)
          << input << " dtype " << dtype;
    }
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CudaOnePass);

INSTANTIATE_TEST_SUITE_P(All, CudaOnePass,
                         testing::Range<size_t>(0, Subjects().size()),
                         [](const testing::TestParamInfo<size_t>& info) {
                           return Subjects()[info.param].name;
                         });

}  // namespace
}  // namespace invact::kernels
