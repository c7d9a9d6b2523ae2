#include "kernels/bits/bits.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace invact::kernels {
namespace {

using Bytes = std::vector<uint8_t>;

// The rule of bits.h, element by element.
Bytes PackedBits(const Bytes& mask) {
  Bytes bits((mask.size() + 7) / 8, 0);
  for (size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] != 0) bits[i / 8] = bits[i / 8] | 1 << (i % 8);
  }
  return bits;
}

Bytes RandomMask(size_t n, bool only_ones, std::mt19937* random) {
  Bytes mask(n);
  for (uint8_t& one : mask) {
    const auto draw = static_cast<uint32_t>((*random)());
    one = draw % 3 == 0 ? 0 : only_ones ? 1 : static_cast<uint8_t>(draw >> 8);
  }
  return mask;
}

constexpr uint8_t kUntouched = 0xa5;

// Packs and unpacks `mask`, both ranges `shift` bytes off their allocation.
void ExpectBothWays(const BitsIsa& isa, const Bytes& mask, size_t shift) {
  const size_t n = mask.size(), packed = (n + 7) / 8;
  Bytes from(n + shift), bits(packed + shift + 8, kUntouched);
  std::copy(mask.begin(), mask.end(), from.begin() + shift);
  isa.pack(from.data() + shift, bits.data() + shift, static_cast<int64_t>(n));
  const Bytes want = PackedBits(mask);
  ASSERT_TRUE(std::equal(want.begin(), want.end(), bits.begin() + shift));
  for (size_t i = packed + shift; i < bits.size(); ++i) {
    ASSERT_EQ(bits[i], kUntouched) << "written behind the end";
  }

  // Unused bits of the last byte must not be read.
  if (n % 8 != 0) bits[shift + packed - 1] |= 0xff << (n % 8);
  Bytes back(n + shift + 64, kUntouched);
  isa.unpack(bits.data() + shift, back.data() + shift, static_cast<int64_t>(n));
  for (size_t i = 0; i < n; ++i) {
    ASSERT_EQ(back[i + shift], mask[i] != 0 ? 1 : 0) << "element " << i;
  }
  for (size_t i = n + shift; i < back.size(); ++i) {
    ASSERT_EQ(back[i], kUntouched) << "written behind the end";
  }
}

TEST(Bits, EverySizeUpTo1100ComesBackOnEveryInstructionSet) {
  const BitsIsas known = KnownBitsIsas();
  for (int k = 0; k < known.count; ++k) {
    if (!known.isas[k].supported) continue;
    SCOPED_TRACE(known.isas[k].name);
    std::mt19937 random(7);
    for (size_t n = 0; n <= 1100; ++n) {
      for (const bool only_ones : {true, false}) {
        ExpectBothWays(known.isas[k], RandomMask(n, only_ones, &random), n % 5);
        if (HasFatalFailure()) FAIL() << n << " elements";
      }
    }
  }
}

TEST(Bits, EveryByteValueButZeroPacksToOne) {
  const BitsIsas known = KnownBitsIsas();
  for (int k = 0; k < known.count; ++k) {
    if (!known.isas[k].supported) continue;
    for (int value = 0; value < 256; ++value) {
      for (size_t at = 0; at < 67; ++at) {
        Bytes mask(67, 0);
        mask[at] = static_cast<uint8_t>(value);
        ExpectBothWays(known.isas[k], mask, 0);
        mask.assign(67, static_cast<uint8_t>(value));
        mask[at] = 0;
        ExpectBothWays(known.isas[k], mask, 0);
        if (HasFatalFailure()) FAIL() << known.isas[k].name << " " << value;
      }
    }
  }
}

TEST(Bits, TheEntryPointsTakeLargeMasks) {
  std::mt19937 random(3);
  const Bytes mask = RandomMask(3'000'017, false, &random);
  Bytes bits((mask.size() + 7) / 8), back(mask.size());
  const auto n = static_cast<int64_t>(mask.size());

  ASSERT_EQ(invact_pack_bits_cpu(nullptr, mask.data(), bits.data(), n), 0);
  EXPECT_EQ(bits, PackedBits(mask));
  ASSERT_EQ(invact_unpack_bits_cpu(nullptr, bits.data(), back.data(), n), 0);
  for (size_t i = 0; i < mask.size(); ++i) {
    ASSERT_EQ(back[i], mask[i] != 0 ? 1 : 0);
  }
}

TEST(Bits, NegativeSizesAreRefused) {
  uint8_t byte = kUntouched;
  EXPECT_NE(invact_pack_bits_cpu(nullptr, &byte, &byte, -1), 0);
  EXPECT_NE(invact_unpack_bits_cpu(nullptr, &byte, &byte, -1), 0);
  EXPECT_EQ(byte, kUntouched);
}

}  // namespace
}  // namespace invact::kernels
