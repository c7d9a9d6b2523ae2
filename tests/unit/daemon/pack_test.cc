#include "daemon/store/pack.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace invact {
namespace {

TEST(Pack, GivesBackWhatWasPacked) {
  std::mt19937_64 random(1);
  for (const size_t size : {0, 1, 48, 4096, 786432}) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() % 3);
    const auto unpacked = Unpack(Pack(bytes), size);
    ASSERT_TRUE(unpacked.ok()) << unpacked.status();
    EXPECT_EQ(*unpacked, bytes);
  }
  EXPECT_LT(Pack(std::string(1 << 20, 'x')).size(), 1000u);
}

TEST(Pack, RefusesMoreThanWasAskedForAndWhatIsNotPacked) {
  const std::string packed = Pack(std::string(1000, 'x'));
  EXPECT_TRUE(absl::IsDataLoss(Unpack(packed, 999).status()));
  EXPECT_TRUE(absl::IsDataLoss(Unpack("", 100).status()));
  EXPECT_TRUE(absl::IsDataLoss(Unpack("no zstd frame", 100).status()));
  for (size_t cut = 0; cut < packed.size(); ++cut) {
    EXPECT_FALSE(Unpack(packed.substr(0, cut), 1000).ok()) << cut;
  }
}

TEST(Pack, DamagedBytesNeverHarm) {
  std::mt19937_64 random(7);
  const std::string packed =
      Pack("records, records, records and again records");
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = packed;
    bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto unpacked = Unpack(bytes, 1000);
    if (unpacked.ok()) {
      EXPECT_LE(unpacked->size(), 1000u);
    }
  }
}

}  // namespace
}  // namespace invact
