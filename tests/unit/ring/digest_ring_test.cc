// Digests come out as they were written and in order; what there is no room for
// stays with the writer.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "plugin/ring/reader.h"
#include "plugin/ring/text_arena.h"
#include "plugin/ring/writer.h"

namespace invact {
namespace {

std::vector<DigestRecord> Records(uint64_t first, size_t count) {
  std::vector<DigestRecord> records;
  for (uint64_t i = first; i < first + count; ++i) {
    records.push_back({static_cast<int64_t>(i / 7), i * i,
                       static_cast<uint32_t>(i), 1,
                       static_cast<uint16_t>(i % 3)});
  }
  return records;
}

void ExpectRecords(const std::vector<DigestRecord>& got, uint64_t first) {
  const std::vector<DigestRecord> want = Records(first, got.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].step, want[i].step) << i;
    ASSERT_EQ(got[i].value, want[i].value) << i;
    ASSERT_EQ(got[i].subject, want[i].subject) << i;
    ASSERT_EQ(got[i].unseen, want[i].unseen) << i;
  }
}

class DigestRingTest : public testing::Test {
 protected:
  size_t Push(const std::vector<DigestRecord>& records) {
    return PushDigests(shared_.get(), records.data(), records.size());
  }
  std::unique_ptr<SharedRun> shared_ = std::make_unique<SharedRun>();
  Reader reader_{shared_.get()};
};

TEST_F(DigestRingTest, AFullRingTakesWhatFitsAndGoesOnAfterwards) {
  EXPECT_EQ(Push(Records(0, kDigestSlots + 10)), kDigestSlots);
  EXPECT_EQ(Push(Records(0, 1)), 0u);
  std::vector<DigestRecord> got;
  EXPECT_EQ(reader_.TakeDigests(100, &got), 100u);
  EXPECT_EQ(Push(Records(kDigestSlots, 200)), 100u);
  while (reader_.TakeDigests(4096, &got) > 0) {
  }
  EXPECT_EQ(got.size(), kDigestSlots + 100u);
  ExpectRecords(got, 0);
}

TEST_F(DigestRingTest, AReaderBesideTheWriterSeesEachOnce) {
  constexpr size_t kAll = 300'000;
  std::thread writer([&] {
    for (size_t done = 0; done < kAll;) {
      done += Push(Records(done, std::min<size_t>(1000, kAll - done)));
    }
  });
  std::vector<DigestRecord> got;
  while (got.size() < kAll) reader_.TakeDigests(4096, &got);
  writer.join();
  ExpectRecords(got, 0);
}

TEST_F(DigestRingTest, ParametersAreNumberedUntilTheTableIsFull) {
  const ParameterEntry entry = {AppendText(shared_.get(), "encoder.weight"),
                                AppendText(shared_.get(), "float32[64, 64]")};
  EXPECT_EQ(AppendParameter(shared_.get(), entry), 0u);
  ASSERT_EQ(reader_.parameter_count(), 1u);
  EXPECT_EQ(reader_.Parameter(0).name, "encoder.weight");
  EXPECT_EQ(reader_.Parameter(0).type, "float32[64, 64]");
  shared_->control.parameter_count.store(kMaxLeaves);
  EXPECT_EQ(AppendParameter(shared_.get(), entry), kNoSite);
}

}  // namespace
}  // namespace invact
