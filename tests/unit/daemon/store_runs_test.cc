// Store: how runs begin and end, whoever tells what in whatever order.
#include <gmock/gmock.h>

#include "tests/unit/daemon/store_fixture.h"

namespace invact {
namespace {

class StoreRuns : public StoreTest {
 protected:
  StoreRuns() : store_(Open()) {}

  void RelayTells(const std::string& state, const std::string& reason,
                  std::optional<int> code = std::nullopt) {
    v1::Batch batch = Batch(++seq_);
    batch.mutable_end()->set_state(state);
    batch.mutable_end()->set_end_reason(reason);
    if (code) batch.mutable_end()->set_exit_code(*code);
    ASSERT_TRUE(Append(*store_, run_, batch).ok());
  }
  void ParentTells(std::optional<int64_t> code, std::optional<int64_t> signal) {
    ASSERT_TRUE(store_->Begin().ok());
    ParentTold told;
    told.exit_code = code;
    told.signal = signal;
    ASSERT_TRUE(store_->RecordExit("job", 7, told, 50).ok());
    ASSERT_TRUE(store_->Commit().ok());
  }
  void Lose() {
    ASSERT_TRUE(store_->Begin().ok());
    ASSERT_TRUE(store_->MarkLost("00000000000000a1", 5000).ok());
    ASSERT_TRUE(store_->Commit().ok());
  }
  std::string Outcome() {
    const v1::Run run = ReadRun();
    return run.state() + " " + run.end_reason() + " " +
           (run.has_exit_code() ? std::to_string(run.exit_code()) : "-") + " " +
           (run.has_signal() ? std::to_string(run.signal()) : "-");
  }

  std::unique_ptr<Store> store_;
  int64_t run_ = OpenRun(*store_, Hello());
  uint64_t seq_ = 0;
};

TEST_F(StoreRuns, TheParentsSignalWinsBeforeAndAfterTheRelay) {
  RelayTells("finished", "exit");
  ParentTells(std::nullopt, 9);
  EXPECT_EQ(Outcome(), "crashed signal - 9");
  RelayTells("finished", "exit");
  EXPECT_EQ(Outcome(), "crashed signal - 9");
}

TEST_F(StoreRuns, AnExitCodeOfTheParentIsKept) {
  ParentTells(3, std::nullopt);
  EXPECT_EQ(Outcome(), "crashed exit 3 -");
  RelayTells("crashed", "signal");
  EXPECT_EQ(Outcome(), "crashed exit 3 -");
}

TEST_F(StoreRuns, AGoodEndIsFinishedWhateverTheRelaySaw) {
  RelayTells("crashed", "signal");
  ParentTells(0, std::nullopt);
  EXPECT_EQ(Outcome(), "finished exit 0 -");
}

TEST_F(StoreRuns, OutOfMemorySaysMoreThanTheExitCodeAfterIt) {
  RelayTells("crashed", "oom", 1);
  ParentTells(1, std::nullopt);
  EXPECT_EQ(Outcome(), "crashed oom 1 -");
}

TEST_F(StoreRuns, AnExitThatIsKnownFirstWaitsForItsRun) {
  ASSERT_TRUE(store_->Begin().ok());
  ParentTold told;
  told.exit_code = 4;
  auto runs = store_->RecordExit("other", 8, told, 50);
  ASSERT_TRUE(runs.ok());
  EXPECT_EQ(*runs, 0);
  ASSERT_TRUE(store_->Commit().ok());

  v1::Hello hello = Hello("00000000000000b2");
  hello.mutable_run()->set_job_id("other");
  hello.mutable_run()->set_pid(8);
  OpenRun(*store_, hello);

  EXPECT_EQ(ReadRun("00000000000000b2").exit_code(), 4);
  EXPECT_EQ(ReadRun("00000000000000b2").state(), "crashed");
}

TEST_F(StoreRuns, ALostRunThatComesBackRunsAndThenEndsAsItSays) {
  ASSERT_TRUE(Append(*store_, run_, Batch(++seq_)).ok());
  Lose();
  EXPECT_EQ(Outcome(), "crashed lost - -");
  EXPECT_EQ(ReadRun().ended_at().nanos(), 1001) << "its last batch";

  EXPECT_EQ(OpenRun(*store_, Hello()), run_);
  EXPECT_EQ(Outcome(), "running  - -");
  EXPECT_FALSE(ReadRun().has_ended_at() && ReadRun().ended_at().nanos() != 0);

  RelayTells("finished", "exit", 0);
  EXPECT_EQ(Outcome(), "finished exit 0 -");
}

TEST_F(StoreRuns, ARunWithAnEndIsNeverLost) {
  RelayTells("finished", "exit", 0);
  Lose();
  EXPECT_EQ(Outcome(), "finished exit 0 -");
}

TEST_F(StoreRuns, AnotherSecretOpensNothing) {
  v1::Hello stranger = Hello();
  stranger.set_run_secret("fedcba9876543210");
  ASSERT_TRUE(store_->Begin().ok());
  EXPECT_TRUE(absl::IsPermissionDenied(store_->OpenRun(stranger, 1).status()));
  ASSERT_TRUE(store_->Commit().ok());
  EXPECT_EQ(Count("SELECT COUNT(*) FROM runs"), 1);
}

TEST_F(StoreRuns, ARunningRunIsNotDeletedAndAnEndedOneLeavesNothing) {
  v1::Batch batch = Batch(++seq_, 10);
  batch.add_scopes()->set_id(1);
  batch.add_sites()->set_id(1);
  batch.mutable_update()->add_warnings("something");
  batch.mutable_update()->add_kernels()->set_op("aten::gelu");
  batch.add_steps()->set_phase("done");
  batch.mutable_last_step()->mutable_totals()->set_phase("done");
  batch.mutable_last_step()->add_rows();
  batch.mutable_last_step()->add_scopes();
  ASSERT_TRUE(Append(*store_, run_, batch).ok());
  const auto remove = [this] {
    EXPECT_TRUE(store_->Begin().ok());
    auto count = store_->DeleteRuns({"00000000000000a1"});
    EXPECT_TRUE(store_->Commit().ok());
    return count;
  };
  EXPECT_TRUE(absl::IsFailedPrecondition(remove().status()));
  EXPECT_EQ(Count("SELECT COUNT(*) FROM runs"), 1);
  ParentTells(0, std::nullopt);

  EXPECT_EQ(remove().value_or(0), 1);

  // Every table that has rows of runs, whatever a later schema adds.
  auto db = Database::Open(options_.path, Database::Mode::kReadOnly);
  ASSERT_TRUE(db.ok());
  std::vector<std::string> tables;
  {
    Query query = (*db)->Prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND "
        "name NOT IN ('codebooks')");
    while (query.Next()) tables.push_back(query.Text());
  }
  EXPECT_GE(tables.size(), 11u);
  for (const std::string& table : tables) {
    EXPECT_EQ(Count(("SELECT COUNT(*) FROM " + table).c_str()), 0) << table;
  }
}

}  // namespace
}  // namespace invact
