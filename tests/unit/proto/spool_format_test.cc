// A reader of a spool gets exactly the whole frames before the first one that
// is not: cut anywhere, or with any bit turned over.
#include "proto/spool_format.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace invact {
namespace {

constexpr char kRun[] = "00000000000000a1";

TEST(Crc32c, HasTheValuesOfRfc3720) {
  std::string rising, falling;
  for (int i = 0; i < 32; ++i) {
    rising.push_back(static_cast<char>(i));
    falling.push_back(static_cast<char>(31 - i));
  }
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(rising), 0x46dd794eu);
  EXPECT_EQ(Crc32c(falling), 0x113fdb5cu);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(SegmentName, IsTheFirstBatchInHexAndNothingElse) {
  EXPECT_EQ(SegmentName(1), "0000000000000001.spool");
  EXPECT_EQ(SegmentName(~uint64_t{0}), "ffffffffffffffff.spool");
  uint64_t seq = 0;
  EXPECT_TRUE(ParseSegmentName("00000000000000ff.spool", &seq));
  EXPECT_EQ(seq, 255u);
  for (const char* name :
       {"", "lock", "relay.log", ".spool", "1.spool", "00000000000000FF.spool",
        "00000000000000ff.spool.corrupt", "00000000000000fg.spool",
        "000000000000000ff.spool", "../0000000000000001.spool"}) {
    EXPECT_FALSE(ParseSegmentName(name, &seq)) << name;
  }
}

TEST(RunId, IsSixteenLowerCaseHexDigits) {
  EXPECT_TRUE(IsSpoolRunId(kRun));
  for (const char* id : {"", "..", "00000000000000A1", "0000000000000a1",
                         "00000000000000a11", "000000000000/0a1"}) {
    EXPECT_FALSE(IsSpoolRunId(id)) << id;
  }
}

TEST(Segment, LiesInTheFileAsTheFormatSays) {
  std::string bytes = EncodeSegmentHeader(kRun);
  AppendFrame(0, std::string(60, 'h'), &bytes);
  AppendFrame(1, std::string(300, 'b'), &bytes);

  // The worked example of spool_format.h.
  ASSERT_EQ(bytes.size(), 0x1acu);
  EXPECT_EQ(bytes.substr(0, 8), "invactSP");
  EXPECT_EQ(bytes.substr(8, 8), std::string("\1\0\0\0\x24\0\0\0", 8));
  EXPECT_EQ(bytes.substr(16, 16), kRun);
  EXPECT_EQ(bytes.substr(0x28, 12),
            std::string("\x3c\0\0\0\0\0\0\0\0\0\0\0", 12));
  EXPECT_EQ(bytes.substr(0x34, 60), std::string(60, 'h'));
  EXPECT_EQ(bytes.substr(0x74, 12),
            std::string("\x2c\1\0\0\1\0\0\0\0\0\0\0", 12));
  EXPECT_EQ(bytes.substr(0x80), std::string(300, 'b'));
}

struct Parsed {
  SpoolStatus status;
  std::vector<std::string> payloads;
};

Parsed Parse(std::string_view bytes) {
  Parsed parsed;
  SegmentHeader header;
  parsed.status = ParseSegmentHeader(bytes, &header);
  if (parsed.status != SpoolStatus::kOk) return parsed;
  EXPECT_EQ(header.run_id, kRun);
  bytes.remove_prefix(kSpoolHeaderBytes);
  Frame frame;
  while ((parsed.status = ParseFrame(bytes, &frame)) == SpoolStatus::kOk) {
    EXPECT_EQ(frame.seq, parsed.payloads.size());
    parsed.payloads.emplace_back(frame.payload);
    bytes.remove_prefix(frame.bytes);
  }
  return parsed;
}

class Damage : public testing::Test {
 protected:
  Damage() : bytes_(EncodeSegmentHeader(kRun)) {
    for (size_t seq = 0; seq < 200; ++seq) {
      payloads_.push_back(std::string(1 + seq * 7 % 40, 'a' + seq % 26));
      AppendFrame(seq, payloads_.back(), &bytes_);
      ends_.push_back(bytes_.size());
    }
  }
  // Frames that are whole within the first `size` bytes.
  size_t WholeIn(size_t size) const {
    size_t whole = 0;
    while (whole < ends_.size() && ends_[whole] <= size) ++whole;
    return whole;
  }
  void ExpectPrefix(const Parsed& parsed, size_t count) const {
    ASSERT_EQ(parsed.payloads.size(), count);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(parsed.payloads[i], payloads_[i]);
    }
  }
  std::string bytes_;
  std::vector<std::string> payloads_;
  std::vector<size_t> ends_;
};

TEST_F(Damage, CutAtEveryByteLeavesTheWholeFrames) {
  for (size_t size = 0; size <= bytes_.size(); ++size) {
    SCOPED_TRACE(size);
    const Parsed parsed = Parse(std::string_view(bytes_).substr(0, size));
    const size_t whole = WholeIn(size);
    ExpectPrefix(parsed, whole);
    const bool at_a_seam =
        size == kSpoolHeaderBytes || (whole > 0 && ends_[whole - 1] == size);
    EXPECT_EQ(parsed.status,
              at_a_seam ? SpoolStatus::kEnd : SpoolStatus::kTorn);
  }
}

TEST_F(Damage, EveryBitTurnedOverLeavesTheFramesBeforeIt) {
  for (size_t bit = 0; bit < bytes_.size() * 8; ++bit) {
    std::string damaged = bytes_;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    const Parsed parsed = Parse(damaged);
    SCOPED_TRACE(bit);
    ExpectPrefix(parsed, bit / 8 < kSpoolHeaderBytes ? 0 : WholeIn(bit / 8));
    // A length that reaches beyond the end can't be told from a torn tail.
    EXPECT_TRUE(parsed.status == SpoolStatus::kCorrupt ||
                parsed.status == SpoolStatus::kTorn);
    EXPECT_FALSE(Describe(parsed.status).empty());
  }
}

TEST(Frame, AClaimedLengthIsNeitherBelievedNorAllocated) {
  std::string bytes;
  AppendFrame(1, "payload", &bytes);
  Frame frame;
  for (const char* length : {"\xff\xff\xff\xff", "\x01\0\x20\0", "\0\0\0\0"}) {
    std::string damaged = bytes;
    damaged.replace(4, 4, length, 4);
    EXPECT_EQ(ParseFrame(damaged, &frame), SpoolStatus::kCorrupt);
  }
}

TEST(SegmentHeader, OfANewerVersionIsToldFromDamage) {
  std::string header = EncodeSegmentHeader(kRun);
  header[8] = 2;
  SegmentHeader out;
  EXPECT_EQ(ParseSegmentHeader(header, &out), SpoolStatus::kCorrupt);
  const uint32_t crc = Crc32c(std::string_view(header).substr(0, 32));
  for (int i = 0; i < 4; ++i) {
    header[32 + i] = static_cast<char>(crc >> (8 * i));
  }
  EXPECT_EQ(ParseSegmentHeader(header, &out), SpoolStatus::kNewVersion);
}

}  // namespace
}  // namespace invact
