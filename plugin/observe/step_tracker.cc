#include "plugin/observe/step_tracker.h"

namespace invact {

namespace {

void FillBytes(const Ledger& ledger, StepTotalsPod* totals) {
  totals->baseline_bytes = ledger.baseline_bytes();
  totals->held_bytes = ledger.held_bytes();
  totals->side_bytes = ledger.side_bytes();
  for (int i = 0; i < static_cast<int>(Category::kCount); ++i) {
    totals->by_category[i] = ledger.category_bytes(static_cast<Category>(i));
  }
}

}  // namespace

StepTotalsPod StepTracker::Empty() {
  StepTotalsPod totals = {};
  totals.index = -1;
  totals.phase = static_cast<uint32_t>(Phase::kDone);
  totals.allocated_before = totals.allocated_instant = kUnknown;
  totals.peak_allocated = totals.peak_reserved = kUnknown;
  totals.saved_at_peak = totals.eliminated_at_peak = kUnknown;
  totals.device_forward_seconds = totals.device_backward_seconds = -1;
  totals.device_step_seconds = -1;
  return totals;
}

void StepTracker::Begin(int64_t begin_ns) {
  const int64_t next = totals_.index + 1;
  totals_ = Empty();
  totals_.index = next;
  index_.store(next, std::memory_order_relaxed);
  totals_.begin_ns = begin_ns;
  totals_.phase = static_cast<uint32_t>(Phase::kForward);
  phase_.store(Phase::kForward, std::memory_order_release);
}

void StepTracker::BackwardBegins(int64_t now_ns, const Ledger& ledger) {
  FillBytes(ledger, &totals_);
  totals_.backward_begin_ns = now_ns;
  totals_.phase = static_cast<uint32_t>(Phase::kBackward);
  phase_.store(Phase::kBackward, std::memory_order_release);
}

StepTotalsPod StepTracker::Current(const Ledger& ledger) const {
  StepTotalsPod totals = totals_;
  // After the instant its totals are the step's; before, what is saved so far.
  if (phase() == Phase::kForward) FillBytes(ledger, &totals);
  return totals;
}

void StepTracker::BackwardEnds(int64_t now_ns, bool complete) {
  totals_.end_ns = now_ns;
  totals_.complete = complete ? 1 : 0;
  totals_.phase =
      static_cast<uint32_t>(complete ? Phase::kDone : Phase::kBackward);
  if (complete) ++completed_;
  phase_.store(Phase::kDone, std::memory_order_release);
}

}  // namespace invact
