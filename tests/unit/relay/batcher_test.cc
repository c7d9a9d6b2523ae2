// What the memory holds comes out in batches that the daemon takes, names
// before what refers to them, and adds up.
#include "plugin/relay/batcher.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "plugin/relay/clock.h"
#include "plugin/ring/text_arena.h"
#include "plugin/ring/writer.h"

namespace invact {
namespace {

// The daemon's, which the relay may not include.
constexpr size_t kDaemonBatchBytes = 1 << 20;
constexpr int64_t kLong = 3600 * kSecond;

class BatcherTest : public testing::Test {
 protected:
  BatcherTest()
      : shared_(std::make_unique<SharedRun>()),
        reader_(shared_.get()),
        batcher_(&reader_) {}

  void Look(const Room& room = {}) {
    now_ns_ += kLong;  // everything is due
    batcher_.Look(
        now_ns_, now_ns_, [&] { return room; }, Sink());
  }
  void Last(const Room& room = {}) {
    v1::RunEnd end;
    end.set_state("finished");
    end.set_end_reason("exit");
    batcher_.Last(
        end, [&] { return room; }, Sink());
  }
  Packer::Sink Sink() {
    return [this](v1::Batch* batch) {
      batch->set_seq(batches_.size() + 1);
      EXPECT_LE(batch->ByteSizeLong(), kDaemonBatchBytes);
      EXPECT_LE(batch->records().size(), 16384 * sizeof(Record));
      EXPECT_GT(batch->wall_time_ns(), 0);
      batches_.push_back(*batch);
    };
  }
  void Push(int count) {
    // A thread of its own: the claim on a ring ends with it.
    std::thread([&] {
      for (int i = 0; i < count; ++i) PushRecord(shared_.get(), Record{});
    }).join();
  }
  size_t Records() const {
    size_t records = 0;
    for (const v1::Batch& batch : batches_) {
      records += batch.records().size() / sizeof(Record);
    }
    return records;
  }

  std::unique_ptr<SharedRun> shared_;
  Reader reader_;
  Batcher batcher_;
  int64_t now_ns_ = kLong;
  std::vector<v1::Batch> batches_;
};

TEST_F(BatcherTest, SaysNothingTwice) {
  AppendSite(shared_.get(), AppendScope(shared_.get(), "model", false), 0, "",
             "float32", Category::kActivation);
  Push(10);
  Look();
  ASSERT_EQ(batches_.size(), 1u);
  EXPECT_EQ(batches_[0].sites_size(), 1);
  EXPECT_EQ(batches_[0].update().device(), "cpu");
  Look();
  EXPECT_EQ(batches_.size(), 1u);

  // Its op becomes known: the site is sent again, and only it.
  shared_->sites[0].op.store(AppendText(shared_.get(), "GeluBackward0"));
  Push(1);
  Look();
  ASSERT_EQ(batches_.size(), 2u);
  EXPECT_EQ(batches_[1].sites(0).op(), "GeluBackward0");
  EXPECT_EQ(batches_[1].scopes_size(), 0);
  EXPECT_FALSE(batches_[1].has_update());
}

TEST_F(BatcherTest, LargestModelFitsTheDaemonsLimits) {
  // As long and as many as the memory allows, with numbers of ten bytes.
  std::vector<SiteRow> rows(kMaxSites);
  for (uint32_t n = 0; n < kMaxSites; ++n) {
    const std::string name = "a.rather.long.path.of.modules.to.carry.along.";
    const uint32_t scope =
        AppendScope(shared_.get(), name + std::to_string(n), true);
    shared_->scopes[n].last_calls.store(1);
    shared_->scopes[n].last_input_bytes.store(int64_t{1} << 55);
    shared_->scopes[n].last_forward_ns.store(int64_t{1} << 61);
    AppendSite(shared_.get(), scope, n, "SomeBackward0", "bfloat16",
               Category::kActivation);
    rows[n].touched = 1;
    rows[n].baseline_bytes = (int64_t{1} << 40) + n;
    rows[n].held_bytes = rows[n].side_bytes = (int64_t{1} << 39) + n;
    rows[n].action = static_cast<uint8_t>(Action::kCheckpoint);
    rows[n].declined = static_cast<uint8_t>(Reason::kInputKeptElsewhere);
    rows[n].shared = 1;
  }
  StepTotalsPod totals = {};
  totals.complete = 1;
  PublishTable(shared_->last, &shared_->last_slot, totals, rows.data(),
               kMaxSites);
  for (int i = 0; i < 1000; ++i) PushStepTotals(shared_.get(), totals);
  Push(8000);
  Look();

  std::set<uint32_t> scopes, sites;
  int tables = 0;
  int64_t baseline = 0, held = 0, expected = 0;
  for (const v1::Batch& batch : batches_) {
    for (const v1::Scope& scope : batch.scopes()) scopes.insert(scope.id());
    for (const v1::Site& site : batch.sites()) sites.insert(site.id());
    if (!batch.has_last_step()) continue;
    ++tables;
    std::set<uint32_t> seen;
    for (const v1::SiteRow& row : batch.last_step().rows()) {
      EXPECT_TRUE(seen.insert(row.site()).second);
      baseline += row.baseline_bytes();
      held += row.held_bytes();
    }
  }
  for (const SiteRow& row : rows) expected += row.baseline_bytes;
  EXPECT_EQ(scopes.size(), kMaxScopes);
  EXPECT_EQ(sites.size(), kMaxSites);
  EXPECT_EQ(tables, 1);
  // Rows that did not fit are in the row of all others, to the byte.
  EXPECT_EQ(baseline, expected);
  EXPECT_EQ(held, expected - kMaxSites * (int64_t{1} << 39));
  EXPECT_EQ(Records(), 8000u);
}

TEST_F(BatcherTest, WithoutRoomRecordsStayInTheRingUntilTheEnd) {
  const Room none{false, false, false};
  for (EventRing& ring : shared_->rings) ring.written.store(kRingRecords);
  PushStepTotals(shared_.get(), StepTotalsPod{});
  Look(none);
  EXPECT_EQ(Records(), 0u);
  Last(none);
  const v1::Batch& last = batches_.back();
  EXPECT_EQ(Records(), 0u);
  EXPECT_TRUE(last.has_end());
  EXPECT_EQ(last.losses().events_dropped(), kRings * kRingRecords + 1);
}

// Numbered by their times; every third begins a moment of two.
void PushChanges(SharedRun* shared, uint64_t first, uint64_t count) {
  for (uint64_t i = first; i < first + count; ++i) {
    MemoryRecord record = {};
    record.time_ns = i;
    record.more = i % 3 == 0;
    ASSERT_TRUE(PushMemoryRecords(shared, &record, 1));
  }
}

uint64_t TimeOf(const v1::Batch& batch, size_t place) {
  MemoryRecord record;
  std::memcpy(&record,
              batch.memory_records().data() + place * sizeof(MemoryRecord),
              sizeof(record));
  return record.time_ns;
}

TEST_F(BatcherTest, ChangesOfMemoryComeInTheirOrderAndWithTheirNumber) {
  PushChanges(shared_.get(), 0, 40000);
  Look();
  PushChanges(shared_.get(), 40000, 7);
  Last();
  uint64_t next = 0;
  int batches = 0;
  for (const v1::Batch& batch : batches_) {
    if (batch.memory_records().empty()) continue;
    ++batches;
    ASSERT_EQ(batch.memory_record_bytes(), sizeof(MemoryRecord));
    const size_t count = batch.memory_records().size() / sizeof(MemoryRecord);
    EXPECT_LE(count, kMostMemoryRecords);
    EXPECT_EQ(batch.memory_before(), next);
    for (size_t i = 0; i < count; ++i) ASSERT_EQ(TimeOf(batch, i), next + i);
    next += count;
    // No moment is cut in two.
    EXPECT_NE((next - 1) % 3, 0u);
  }
  EXPECT_EQ(next, 40007u);
  EXPECT_EQ(batches, 3);
  EXPECT_EQ(batches_.back().losses().events_dropped(), 0);
}

TEST_F(BatcherTest, FewChangesOfMemoryWaitForOthersButNotForLong) {
  PushChanges(shared_.get(), 1, 10);
  Look();
  ASSERT_EQ(batches_.back().memory_records().size(), 10 * sizeof(MemoryRecord));
  PushChanges(shared_.get(), 11, 10);
  const auto look = [&](int64_t after_ns) {
    batcher_.Look(
        now_ns_ + after_ns, now_ns_, [] { return Room{}; }, Sink());
  };
  const size_t told = batches_.size();
  for (int64_t ms = 60; ms < 480; ms += 60) look(ms * kMs);
  EXPECT_EQ(batches_.size(), told);
  look(500 * kMs);
  ASSERT_EQ(batches_.size(), told + 1);
  EXPECT_EQ(batches_.back().memory_before(), 10u);
}

TEST_F(BatcherTest, ChangesOfMemoryWithoutRoomLeaveAHole) {
  PushChanges(shared_.get(), 1, 20000);
  Look();
  PushChanges(shared_.get(), 20001, 4);
  shared_->memory_records.dropped.store(5);
  Last(Room{false, true, true});
  const v1::Batch& last = batches_.back();
  EXPECT_TRUE(last.memory_records().empty());
  EXPECT_EQ(last.losses().events_dropped(), 4 + 5);
}

TEST_F(BatcherTest, AStepThatWasNotCompletedIsTheSumOfItsRows) {
  AppendSite(shared_.get(), 0, 0, "", "", Category::kActivation);
  AppendSite(shared_.get(), 0, 1, "", "", Category::kInput);
  shared_->live.rows = 2;
  for (int site = 0; site < 2; ++site) {
    shared_->live.row[site].touched = 1;
    shared_->live.row[site].baseline_bytes = 100 * (site + 1);
    shared_->live.row[site].held_bytes = 70;
  }
  // The writer was killed before it had added the second one.
  shared_->live.totals.baseline_bytes = 100;
  shared_->live.totals.begin_ns = 5;
  Last();
  const v1::SiteTable& live = batches_.back().live();
  EXPECT_EQ(live.totals().baseline_bytes(), 300);
  EXPECT_EQ(live.totals().held_bytes(), 140);
  EXPECT_EQ(live.totals().input_bytes(), 200);
  EXPECT_FALSE(live.totals().complete());
  EXPECT_EQ(live.totals().phase(), "forward");
}

TEST_F(BatcherTest, TheLastBatchCarriesTheOutOfMemory) {
  const uint32_t scope = AppendScope(shared_.get(), "model.mlp", true);
  shared_->control.oom_requested_bytes = 512;
  shared_->control.oom_scope = scope;
  shared_->control.oom_seen.store(1);
  Last();
  EXPECT_EQ(batches_.back().out_of_memory().layer(), "model.mlp");
  EXPECT_EQ(batches_.back().out_of_memory().requested_bytes(), 512);
  EXPECT_TRUE(batches_.back().has_end());
}

TEST_F(BatcherTest, UnknownNumbersAreLeftOut) {
  StepTotalsPod totals = {};
  totals.peak_allocated = 7;
  totals.allocated_before = totals.allocated_instant = kUnknown;
  totals.peak_reserved = totals.saved_at_peak = kUnknown;
  totals.device_forward_seconds = -1;
  PushStepTotals(shared_.get(), totals);
  Look();
  const v1::StepTotals& step = batches_[0].steps(0);
  EXPECT_TRUE(step.has_peak_allocated_bytes());
  EXPECT_FALSE(step.has_allocated_before_bytes());
  EXPECT_FALSE(step.has_eliminated_at_peak_bytes());
  EXPECT_FALSE(step.has_device_forward_seconds());
  EXPECT_TRUE(step.has_device_backward_seconds());
}

TEST_F(BatcherTest, TablesBecomeRareWhereNobodyAcknowledges) {
  const int64_t began = now_ns_;
  StepTotalsPod totals = {};
  SiteRow row = {};
  row.touched = 1;
  int tables = 0;
  const auto sink = [&](v1::Batch* batch) { tables += batch->has_last_step(); };
  // A step every 100 ms for an hour, and never an answer.
  for (int step = 0; step < 36000; ++step) {
    totals.index = step;
    PublishTable(shared_->last, &shared_->last_slot, totals, &row, 1);
    PushStepTotals(shared_.get(), totals);
    batcher_.Look(
        began + step * 100 * kMs, began, [] { return Room(); }, sink);
  }
  EXPECT_GT(tables, 50);
  EXPECT_LT(tables, 400);
}

KernelEntry Kernel(uint32_t op, double error_max) {
  KernelEntry entry = {};
  entry.op = op;
  entry.error_max = error_max;
  entry.error_rms = -1;
  return entry;
}

TEST_F(BatcherTest, AKernelIsSaidWhenItIsCalibratedAndAgainWhenAnew) {
  Look();
  const uint32_t gelu = AppendText(shared_.get(), "aten::gelu");
  PutKernel(shared_.get(), 0, Kernel(gelu, 0.5));
  Look();
  Look();
  ASSERT_EQ(batches_.back().update().kernels_size(), 1);
  const size_t said = batches_.size();
  v1::KernelCalibration kernel = batches_.back().update().kernels(0);
  EXPECT_EQ(kernel.op(), "aten::gelu");
  EXPECT_TRUE(kernel.served());
  EXPECT_EQ(kernel.reason(), "");
  EXPECT_EQ(kernel.error_max(), 0.5);
  EXPECT_FALSE(kernel.has_error_rms());

  PutKernel(shared_.get(), 1, Kernel(gelu, 0.25));
  KernelEntry failed = Kernel(gelu, 0.75);
  failed.reason = static_cast<uint8_t>(Reason::kCalibrationFailed);
  PutKernel(shared_.get(), 0, failed);
  Look();
  ASSERT_EQ(batches_.size(), said + 1);
  ASSERT_EQ(batches_.back().update().kernels_size(), 2);
  kernel = batches_.back().update().kernels(0);
  EXPECT_FALSE(kernel.served());
  EXPECT_EQ(kernel.reason(), "CALIBRATION_FAILED");
  EXPECT_EQ(kernel.error_max(), 0.75);

  // Batches were lost, among them perhaps this one.
  batcher_.SayAgain();
  Last();
  EXPECT_EQ(batches_.back().update().kernels_size(), 2);
}

TEST_F(BatcherTest, AsManyKernelsAsThereAreSlotsFitOneBatch) {
  const std::string longest(60000, 'x');
  KernelEntry entry = {};
  entry.op = entry.dtype = entry.device = entry.library = entry.detail =
      AppendText(shared_.get(), longest);
  for (uint32_t n = 0; n < kMaxKernels; ++n) {
    PutKernel(shared_.get(), n, entry);
  }
  for (uint32_t n = 0; n < 32; ++n) {
    shared_->control.warnings[n].store(entry.detail);
  }
  shared_->control.warning_count.store(32);
  for (int n = 0; n < 16; ++n) batcher_.Warn(longest);
  Look();
  int kernels = 0;
  for (const v1::Batch& batch : batches_) {
    kernels += batch.update().kernels_size();
  }
  EXPECT_EQ(kernels, static_cast<int>(kMaxKernels));
}

TEST_F(BatcherTest, LossesFoundAfterTheEndAreSaidAtOnce) {
  AppendScope(shared_.get(), "model", false);
  Last();
  batcher_.AddLost(77);
  batcher_.Amend(Sink());
  EXPECT_EQ(batches_.back().losses().events_dropped(), 77);
  EXPECT_EQ(batches_.back().scopes_size(), 1);
  EXPECT_FALSE(batches_.back().has_end());
}

TEST_F(BatcherTest, WhatWasLostIsSaidAgainAFewTimesOnly) {
  AppendScope(shared_.get(), "model", false);
  Look();
  for (int i = 0; i < 100; ++i) {
    batcher_.SayAgain();
    Look();
  }
  size_t said = 0;
  for (const v1::Batch& batch : batches_) said += batch.scopes_size();
  EXPECT_GT(said, 1u);
  EXPECT_LT(said, 20u);
}

}  // namespace
}  // namespace invact
