// The account of device memory in the store: what replaces what, what is kept.
#include "tests/unit/daemon/store_fixture.h"

namespace invact {
namespace {

class StoreMemory : public StoreTest {
 protected:
  static v1::MemoryStep Step(int64_t step, int64_t peak, int holders = 2) {
    v1::MemoryStep out;
    out.set_step(step);
    out.set_complete(true);
    out.set_peak_phase("backward");
    auto& bytes = *out.mutable_peak()->mutable_by_category();
    bytes["activation"] = peak - 10;
    bytes["parameter"] = 10;
    out.mutable_peak()->set_reserved_bytes(2 * peak);
    for (int i = 0; i < holders; ++i) {
      v1::MemoryHolder& holder = *out.add_holders();
      holder.set_category("activation");
      holder.set_bytes(peak - i);
      holder.set_scope(static_cast<uint32_t>(i));
    }
    return out;
  }
  absl::Status Add(const v1::MemoryStep& step) {
    v1::Batch batch = Batch(++seq_);
    *batch.add_memory_steps() = step;
    return Append(*store_, run_, batch);
  }
  StoredMemory Read(int64_t step) {
    Reader reader(options_.path, options_.sharing);
    auto session = reader.Start(absl::InfiniteFuture());
    auto memory = session->Memory(run_, step);
    EXPECT_TRUE(memory.ok()) << memory.status();
    return *std::move(memory);
  }

  std::unique_ptr<Store> store_ = Open();
  int64_t run_ = OpenRun(*store_, Hello());
  uint64_t seq_ = 0;
};

TEST_F(StoreMemory, ARowReplacesTheOneOfItsStepAndKeepsHoldersItDoesNotTell) {
  ASSERT_TRUE(Add(Step(3, 1000)).ok());
  v1::MemoryStep later = Step(3, 1100, 0);
  later.mutable_end()->set_time_ns(77);
  later.mutable_end()->set_allocated_bytes(512);
  ASSERT_TRUE(Add(later).ok());

  const StoredMemory stored = Read(3);
  ASSERT_EQ(stored.of_step.size(), 1u);
  const v1::MemoryStep& row = stored.of_step[0];
  EXPECT_EQ(row.peak().by_category().at("activation"), 1090);
  EXPECT_EQ(row.peak().reserved_bytes(), 2200);
  EXPECT_FALSE(row.peak().has_allocated_bytes());
  EXPECT_EQ(row.end().allocated_bytes(), 512);
  EXPECT_FALSE(row.has_begin());
  ASSERT_EQ(row.holders_size(), 2);
  EXPECT_EQ(row.holders(0).bytes(), 1000);
  EXPECT_EQ(Count("SELECT COUNT(*) FROM memory_steps_v1"), 1);
  EXPECT_EQ(Count("SELECT bytes FROM memory_moments_v1 WHERE moment = 'peak'"),
            1100);
  EXPECT_EQ(Count("SELECT rounding_bytes FROM memory_moments_v1 "
                  "WHERE moment = 'end'"),
            512);
}

TEST_F(StoreMemory, HoldersStayForTheHighestPeakAndTheNewestSteps) {
  ASSERT_TRUE(store_->Begin().ok());
  v1::Batch batch = Batch(1);
  for (int64_t step = 0; step < 1500; ++step) {
    *batch.add_memory_steps() = Step(step, step == 200 ? 9000 : 1000);
  }
  ASSERT_TRUE(store_->AppendBatch(run_, batch, 1).ok());
  ASSERT_TRUE(store_->Commit().ok());

  EXPECT_EQ(Count("SELECT COUNT(*) FROM memory_steps"), 1500);
  EXPECT_EQ(Count("SELECT COUNT(DISTINCT step) FROM memory_holders"), 1002);
  EXPECT_EQ(Count("SELECT MIN(step) FROM memory_holders"), 200);
  const StoredMemory stored = Read(1499);
  ASSERT_EQ(stored.highest.size(), 1u);
  EXPECT_EQ(stored.highest[0].step(), 200);
  EXPECT_EQ(stored.highest[0].holders_size(), 2);
  EXPECT_EQ(stored.of_step[0].holders_size(), 2);
}

TEST_F(StoreMemory, NamesComeFromTheCallSiteOrTheScope) {
  v1::Batch batch = Batch(++seq_);
  v1::Scope& scope = *batch.add_scopes();
  scope.set_id(4);
  scope.set_name("model.mlp");
  v1::Site& site = *batch.add_sites();
  site.set_id(9);
  site.set_scope(4);
  site.set_op("GeluBackward0");
  site.set_pack_ordinal(2);
  v1::MemoryStep step = Step(0, 500, 0);
  step.add_holders()->set_site(9);
  step.add_holders()->set_scope(4);
  step.add_holders()->set_category("other");
  *batch.add_memory_steps() = step;
  ASSERT_TRUE(Append(*store_, run_, batch).ok());

  const v1::MemoryStep row = Read(0).of_step.at(0);
  ASSERT_EQ(row.holders_size(), 3);
  EXPECT_EQ(row.holders(0).layer(), "model.mlp");
  EXPECT_EQ(row.holders(0).op(), "GeluBackward0");
  EXPECT_EQ(row.holders(0).ordinal(), 2);
  EXPECT_EQ(row.holders(1).layer(), "model.mlp");
  EXPECT_FALSE(row.holders(1).has_ordinal());
  EXPECT_FALSE(row.holders(2).has_layer());
}

TEST_F(StoreMemory, ACategoryOfANewerPluginIsCountedAsUnknown) {
  v1::MemoryStep step = Step(0, 500);
  (*step.mutable_peak()->mutable_by_category())["kv_cache"] = 7;
  ASSERT_TRUE(Add(step).ok());

  EXPECT_EQ(Count("SELECT unknown_bytes FROM memory_moments"), 7);
  EXPECT_EQ(Count("SELECT peak_bytes FROM memory_steps"), 507);
}

TEST_F(StoreMemory, ARunTakesItsMemoryWithIt) {
  v1::Batch batch = Batch(++seq_);
  *batch.add_memory_steps() = Step(0, 500);
  v1::MemoryFailure& failure = *batch.add_memory_failures();
  failure.set_phase("forward");
  failure.set_asked_bytes(1 << 20);
  failure.add_holders()->set_bytes(5);
  batch.mutable_end()->set_state("crashed");
  batch.mutable_end()->set_end_reason("oom");
  ASSERT_TRUE(Append(*store_, run_, batch).ok());
  ASSERT_EQ(Read(0).failures.size(), 1u);
  EXPECT_EQ(Read(0).failures[0].asked_bytes(), 1 << 20);
  EXPECT_EQ(Read(0).failures[0].holders_size(), 1);

  ASSERT_TRUE(store_->Begin().ok());
  ASSERT_TRUE(store_->DeleteRuns({"00000000000000a1"}).ok());
  ASSERT_TRUE(store_->Commit().ok());

  for (const char* sql : {"SELECT COUNT(*) FROM memory_steps",
                          "SELECT COUNT(*) FROM memory_moments",
                          "SELECT COUNT(*) FROM memory_holders",
                          "SELECT COUNT(*) FROM memory_failures"}) {
    EXPECT_EQ(Count(sql), 0) << sql;
  }
}

}  // namespace
}  // namespace invact
