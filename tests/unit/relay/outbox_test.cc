// Numbered once, kept until acknowledged, bounded; on disk what the disk takes.
#include "plugin/relay/outbox.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace invact {
namespace {

namespace fs = std::filesystem;
constexpr char kRun[] = "00000000000000a1";

class OutboxTest : public testing::Test {
 protected:
  OutboxTest() : spool_(kRun, "hello") {
    std::string pattern = testing::TempDir() + "outboxXXXXXX";
    root_ = mkdtemp(pattern.data());
  }
  ~OutboxTest() override { fs::remove_all(root_); }

  void Open() {
    std::vector<std::string> problems;
    ASSERT_TRUE(spool_.Open({root_ / "spool"}, &problems)) << problems[0];
  }
  static void Add(Outbox* outbox, size_t records) {
    v1::Batch batch;
    batch.set_records(std::string(records * 48, 'r'));
    batch.set_record_bytes(48);
    outbox->Add(&batch);
  }
  static v1::Batch Read(Outbox* outbox, uint64_t seq) {
    v1::StreamRequest request;
    EXPECT_TRUE(request.ParseFromString(*outbox->Message(seq)));
    EXPECT_EQ(request.batch().seq(), seq);
    return request.batch();
  }
  std::vector<std::string> Segments() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(root_ / "spool" / kRun)) {
      if (entry.path().extension() == ".spool") {
        names.push_back(entry.path().filename());
      }
    }
    return names;
  }

  fs::path root_;
  RelayLog log_;
  Spool spool_;
};

TEST_F(OutboxTest, OldBatchesComeBackFromDiskUnchanged) {
  Open();
  Outbox outbox(&spool_, &log_);
  for (size_t n = 1; n <= 300; ++n) Add(&outbox, 1000 + n);  // 16 MiB
  EXPECT_GT(Segments().size(), 3u);
  for (uint64_t seq : {1, 2, 150, 151, 10, 299, 300, 1}) {
    EXPECT_EQ(Read(&outbox, seq).records().size(), (1000 + seq) * 48);
  }
  uint64_t lost = 0;
  EXPECT_FALSE(outbox.TakeLosses(&lost));
}

TEST_F(OutboxTest, AcknowledgedSegmentsAreDeleted) {
  Open();
  Outbox outbox(&spool_, &log_);
  for (size_t n = 0; n < 300; ++n) Add(&outbox, 1000);
  const size_t before = Segments().size();
  const int64_t bytes = spool_.bytes();
  outbox.Acknowledge(150);
  EXPECT_LT(Segments().size(), before);
  EXPECT_LT(spool_.bytes(), bytes * 3 / 4);
  outbox.Acknowledge(300);
  EXPECT_TRUE(outbox.all_acknowledged());
  ASSERT_EQ(Segments().size(), 1u);  // the hello, for who looks for orphans
  EXPECT_LT(spool_.bytes(), 200);
  spool_.Remove();
  EXPECT_TRUE(fs::is_empty(root_ / "spool"));
}

TEST_F(OutboxTest, RoomEndsInTheOrderEventsTablesSteps) {
  Open();
  OutboxLimits limits;
  limits.disk_bytes = 1 << 20;
  Outbox outbox(&spool_, &log_, limits);
  std::string order;
  Room before = outbox.room();
  EXPECT_TRUE(before.events && before.tables && before.steps);
  while (before.steps) {
    Add(&outbox, 100);
    const Room room = outbox.room();
    if (before.events && !room.events) order += "events ";
    if (before.tables && !room.tables) order += "tables ";
    if (before.steps && !room.steps) order += "steps";
    before = room;
  }
  EXPECT_EQ(order, "events tables steps");
  EXPECT_LT(spool_.bytes(), limits.disk_bytes);
  outbox.Acknowledge(outbox.last());
  EXPECT_TRUE(outbox.room().events);
}

TEST_F(OutboxTest, WithoutADiskMemoryIsTheLimit) {
  OutboxLimits limits;
  limits.memory_bytes = 1 << 20;
  Outbox outbox(&spool_, &log_, limits);
  int made = 0;
  for (; outbox.room().events; ++made) Add(&outbox, 100);
  EXPECT_GT(made, 100);
  EXPECT_LT(made * 4800, limits.memory_bytes);
  EXPECT_FALSE(outbox.all_spooled());
  EXPECT_EQ(Read(&outbox, 1).records().size(), 4800u);
  outbox.Acknowledge(outbox.last());
  EXPECT_TRUE(outbox.room().events);
  EXPECT_TRUE(outbox.all_spooled());
}

TEST_F(OutboxTest, ADamagedSegmentGivesEmptyBatchesAndCountsWhatWasInThem) {
  Open();
  Outbox outbox(&spool_, &log_);
  for (size_t n = 0; n < 300; ++n) Add(&outbox, 1000);
  const fs::path first = root_ / "spool" / kRun / SegmentName(1);
  const size_t in_first = fs::file_size(first) / 48000;
  fs::resize_file(first, 48000 * 10);

  size_t empty = 0;
  for (uint64_t seq = 1; seq <= 300; ++seq) {
    empty += Read(&outbox, seq).records().empty();
  }
  uint64_t lost = 0;
  ASSERT_TRUE(outbox.TakeLosses(&lost));
  EXPECT_EQ(empty, in_first - 9);
  EXPECT_EQ(lost, empty * 1000);
  EXPECT_FALSE(outbox.TakeLosses(&lost));
}

TEST_F(OutboxTest, ARefusedBatchIsReplacedByAnEmptyOne) {
  Open();
  Outbox outbox(&spool_, &log_);
  for (int n = 0; n < 3; ++n) Add(&outbox, 10);
  outbox.Replace(2);
  EXPECT_FALSE(Read(&outbox, 1).records().empty());
  EXPECT_TRUE(Read(&outbox, 2).records().empty());
  EXPECT_FALSE(Read(&outbox, 3).records().empty());
  uint64_t lost = 0;
  EXPECT_TRUE(outbox.TakeLosses(&lost));
  EXPECT_EQ(lost, 10u);
}

TEST_F(OutboxTest, BatchesThatOnlyAnOlderDatabaseHadBecomeEmptyOnes) {
  Open();
  Outbox outbox(&spool_, &log_);
  for (int n = 0; n < 300; ++n) Add(&outbox, 1000);
  outbox.Acknowledge(300);
  outbox.Acknowledge(0);  // a new database
  EXPECT_TRUE(Read(&outbox, 1).records().empty());
  uint64_t lost = 0;
  EXPECT_TRUE(outbox.TakeLosses(&lost));
}

TEST(Spool, IsOfOneRelayAtATime) {
  std::string pattern = testing::TempDir() + "spoolXXXXXX";
  const fs::path root = mkdtemp(pattern.data());
  std::vector<std::string> problems;
  Spool first(kRun, "hello"), second(kRun, "hello");
  EXPECT_TRUE(first.Open({root / "spool"}, &problems));
  EXPECT_FALSE(second.Open({root / "spool"}, &problems));
  EXPECT_NE(problems[0].find("can't be locked"), std::string::npos);
  fs::remove_all(root);
}

}  // namespace
}  // namespace invact
