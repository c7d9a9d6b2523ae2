#include "daemon/report/units.h"

#include <gtest/gtest.h>

namespace invact {
namespace {

TEST(Bytes, HaveBinaryUnitsAndOneDecimal) {
  EXPECT_EQ(Bytes(0), "0 B");
  EXPECT_EQ(Bytes(1023), "1023 B");
  EXPECT_EQ(Bytes(1024), "1 KiB");
  EXPECT_EQ(Bytes(1536), "1.5 KiB");
  EXPECT_EQ(Bytes(512 << 20), "512 MiB");
  EXPECT_EQ(Bytes(int64_t{3} << 30), "3 GiB");
  EXPECT_EQ(Bytes(-(int64_t{1} << 20) * 5 / 2), "-2.5 MiB");
  EXPECT_EQ(Bytes(INT64_MAX), "8192 PiB");
  EXPECT_EQ(Bytes(INT64_MIN), "-8192 PiB");
}

TEST(Bytes, NeverReadAThousandOfAUnit) {
  EXPECT_EQ(Bytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(Bytes((1 << 20) - 1024), "1023 KiB");
}

TEST(BytesInColumn, KeepsTheDecimal) {
  EXPECT_EQ(BytesInColumn(int64_t{3} << 30), "3.0 GiB");
  EXPECT_EQ(BytesInColumn(512 << 20), "512 MiB");
  EXPECT_EQ(BytesInColumn(7), "7 B");
}

TEST(Change, SaysItsDirection) {
  EXPECT_EQ(Change(-0.39), "-39 %");
  EXPECT_EQ(Change(0.29), "+29 %");
  EXPECT_EQ(Change(0.004), "+0.4 %");
  EXPECT_EQ(Change(0), "0 %");
  EXPECT_EQ(Change(-0.0), "0 %");
  EXPECT_EQ(Change(-0.00001), "0 %");
  EXPECT_EQ(Change(-0.0995), "-10 %");
  EXPECT_EQ(Change(2.5), "+250 %");
}

TEST(Seconds, ChooseTheirUnit) {
  EXPECT_EQ(Seconds(0.00082), "820 us");
  EXPECT_EQ(Seconds(0.0162), "16.2 ms");
  EXPECT_EQ(Seconds(0.331), "331 ms");
  EXPECT_EQ(Seconds(1.534), "1.53 s");
  EXPECT_EQ(Seconds(125), "2 min 5 s");
}

TEST(UtcTime, IsRfc3339InUtc) {
  google::protobuf::Timestamp time;
  time.set_seconds(1772446504);
  time.set_nanos(120'999'999);

  EXPECT_EQ(UtcTime(time), "2026-03-02T10:15:04.120Z");
  EXPECT_EQ(UtcText(time), "2026-03-02 10:15:04 UTC");
}

}  // namespace
}  // namespace invact
