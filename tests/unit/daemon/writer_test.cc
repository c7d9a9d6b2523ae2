// Writer: says done only after COMMIT, survives a full disk, stays bounded.
#include "daemon/ingest/writer.h"

#include <future>

#include "tests/unit/daemon/store_fixture.h"

namespace invact {
namespace {

constexpr std::chrono::seconds kSoon(20);

class WriterTest : public StoreTest {
 protected:
  // Blocks the writer's thread until the returned promise is kept.
  std::shared_ptr<std::promise<void>> Block(Writer& writer) {
    auto promise = std::make_shared<std::promise<void>>();
    auto entered = std::make_shared<std::promise<void>>();
    WriteJob job;
    job.apply = [wait = promise->get_future().share(), entered](Store&) {
      entered->set_value();
      wait.wait();
      return absl::OkStatus();
    };
    job.done = [](const absl::Status&) {};
    EXPECT_EQ(writer.Submit(std::move(job)), Writer::Accepted::kYes);
    entered->get_future().wait();
    return promise;
  }
  static WriteJob Sized(size_t bytes) {
    WriteJob job;
    job.bytes = bytes;
    job.apply = [](Store&) { return absl::OkStatus(); };
    job.done = [](const absl::Status&) {};
    return job;
  }
  // Appends on the writer's thread; the future gets what `done` was told.
  static std::future<absl::Status> Append(Writer& writer, int64_t run,
                                          const v1::Batch& batch) {
    auto result = std::make_shared<std::promise<absl::Status>>();
    auto shared = std::make_shared<v1::Batch>(batch);
    WriteJob job;
    job.bytes = shared->ByteSizeLong();
    job.keep_trying = true;
    job.apply = [run, shared](Store& store) {
      return store.AppendBatch(run, *shared, 1);
    };
    job.done = [result](const absl::Status& s) { result->set_value(s); };
    EXPECT_NE(writer.Submit(std::move(job)), Writer::Accepted::kRefused);
    return result->get_future();
  }
};

TEST_F(WriterTest, DoneMeansThatOthersCanReadIt) {
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  Writer writer(store.get(), WriterOptions(), [] {});
  for (int seq = 1; seq <= 50; ++seq) {
    auto done = Append(writer, run, Batch(seq, 1));
    ASSERT_EQ(done.wait_for(kSoon), std::future_status::ready);
    ASSERT_TRUE(done.get().ok());
    ASSERT_EQ(Count("SELECT MAX(seq) FROM batches"), seq);
  }
}

TEST_F(WriterTest, ManyJobsShareACommit) {
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  Writer writer(store.get(), WriterOptions(), [] {});
  auto blocked = Block(writer);
  std::vector<std::future<absl::Status>> done;
  for (int seq = 1; seq <= 100; ++seq) {
    done.push_back(Append(writer, run, Batch(seq, 1)));
  }
  blocked->set_value();
  for (auto& one : done) EXPECT_TRUE(one.get().ok());
  EXPECT_LE(writer.commits(), 3);
}

TEST_F(WriterTest, ABadJobFailsAloneInItsGroup) {
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  Writer writer(store.get(), WriterOptions(), [] {});
  auto blocked = Block(writer);
  auto good = Append(writer, run, Batch(1, 1));
  auto hole = Append(writer, run, Batch(7, 1));
  auto broken = std::make_shared<std::promise<absl::Status>>();
  WriteJob job;
  job.apply = [](Store&) { return absl::InternalError("made up"); };
  job.done = [broken](const absl::Status& s) { broken->set_value(s); };
  writer.Submit(std::move(job));
  auto next = Append(writer, run, Batch(2, 1));
  blocked->set_value();

  EXPECT_TRUE(good.get().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(hole.get()));
  EXPECT_TRUE(absl::IsInternal(broken->get_future().get()));
  EXPECT_TRUE(next.get().ok());
  EXPECT_EQ(Count("SELECT COUNT(*) FROM batches"), 2);
}

TEST_F(WriterTest, OnAFullDiskBatchesWaitAndGoInWhenThereIsRoom) {
  options_.max_pages = 60;
  options_.quota_bytes = 0;
  auto store = Open();
  // An ended run whose removal makes room.
  const int64_t old = OpenRun(*store, Hello("00000000000000b2"));
  v1::Batch last = Batch(1, 1000);
  last.mutable_end()->set_state("finished");
  last.mutable_end()->set_end_reason("exit");
  ASSERT_TRUE(StoreTest::Append(*store, old, last).ok());
  const int64_t run = OpenRun(*store, Hello());
  WriterOptions options;
  options.retry = absl::Milliseconds(20);
  Writer writer(store.get(), options, [] {});
  std::vector<std::future<absl::Status>> waiting;
  uint64_t seq = 0;
  while (writer.health().ok()) {
    waiting.push_back(Append(writer, run, Batch(++seq, 100)));
    // Either it is stored, or the disk is full and it waits.
    while (waiting.back().wait_for(std::chrono::milliseconds(1)) !=
               std::future_status::ready &&
           writer.health().ok()) {
    }
  }
  ASSERT_LT(seq, 200u);
  EXPECT_TRUE(absl::IsResourceExhausted(writer.health()));
  EXPECT_EQ(waiting.back().wait_for(std::chrono::milliseconds(100)),
            std::future_status::timeout)
      << "acknowledged without a commit";
  EXPECT_EQ(ReadRun().state(), "running") << "readers go on";
  const absl::Status other = writer.Run(
      [&](Store& store) { return store.AppendBatch(run, Batch(seq, 100), 1); });
  EXPECT_FALSE(other.ok()) << "what does not wait fails at once";

  ASSERT_TRUE(writer
                  .Run([](Store& store) {
                    return store.DeleteRuns({"00000000000000b2"}).status();
                  })
                  .ok());

  for (auto& one : waiting) {
    ASSERT_EQ(one.wait_for(kSoon), std::future_status::ready);
    EXPECT_TRUE(one.get().ok());
  }
  EXPECT_EQ(Count("SELECT COUNT(*) FROM batches"), seq);
  EXPECT_TRUE(writer.health().ok());
}

TEST_F(WriterTest, AboveTheHighMarkCallersPauseAndAboveTheLimitAreRefused) {
  auto store = Open();
  WriterOptions options;
  options.high_mark_bytes = 1000;
  options.hard_limit_bytes = 2000;
  Writer writer(store.get(), options, [] {});
  auto blocked = Block(writer);
  std::promise<void> resumed;
  EXPECT_EQ(writer.Submit(Sized(900), [] {}), Writer::Accepted::kYes);
  EXPECT_EQ(writer.Submit(Sized(900), [&] { resumed.set_value(); }),
            Writer::Accepted::kPause);
  EXPECT_EQ(writer.Submit(Sized(900), [] {}), Writer::Accepted::kRefused);

  blocked->set_value();

  EXPECT_EQ(resumed.get_future().wait_for(kSoon), std::future_status::ready);
}

TEST_F(WriterTest, StopCommitsWhatIsQueuedAndRefusesMore) {
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  Writer writer(store.get(), WriterOptions(), [] {});
  auto blocked = Block(writer);
  std::vector<std::future<absl::Status>> done;
  for (int seq = 1; seq <= 20; ++seq) {
    done.push_back(Append(writer, run, Batch(seq, 1)));
  }
  blocked->set_value();
  writer.Stop();

  for (auto& one : done) EXPECT_TRUE(one.get().ok());
  EXPECT_EQ(Count("SELECT COUNT(*) FROM batches"), 20);
  EXPECT_EQ(writer.Submit(Sized(1)), Writer::Accepted::kRefused);
}

}  // namespace
}  // namespace invact
