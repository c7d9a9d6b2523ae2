// The step under way: from the first tensor saved after a backward to the end
// of the next outermost backward. Pure state, no torch: the Recorder tells it
// what happened, asks it what the totals are.
//
//   kDone --save--> kForward --backward begins--> kBackward --ends--> kDone
//
// Threads: externally locked; phase() and index() may be read without it.
#ifndef INVACT_PLUGIN_OBSERVE_STEP_TRACKER_H_
#define INVACT_PLUGIN_OBSERVE_STEP_TRACKER_H_

#include <atomic>
#include <cstdint>

#include "plugin/ledger/ledger.h"
#include "plugin/ring/ring_layout.h"

namespace invact {

class StepTracker {
 public:
  Phase phase() const { return phase_.load(std::memory_order_acquire); }
  // Index of the step under way, or of the last one when there is none.
  int64_t index() const { return index_.load(std::memory_order_relaxed); }
  StepTotalsPod& totals() { return totals_; }
  int64_t completed() const { return completed_; }

  // `begin_ns`: the outermost module call that led to the first save, if one
  // did, else now.
  void Begin(int64_t begin_ns);
  void CountSave() { ++totals_.saved_tensors; }
  // Fixes the totals of the instant.
  void BackwardBegins(int64_t now_ns, const Ledger& ledger);
  // Of the step under way, without ending it.
  StepTotalsPod Current(const Ledger& ledger) const;
  void BackwardEnds(int64_t now_ns, bool complete);

 private:
  std::atomic<Phase> phase_{Phase::kDone};
  std::atomic<int64_t> index_{-1};
  StepTotalsPod totals_ = Empty();
  int64_t completed_ = 0;

  static StepTotalsPod Empty();
};

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_STEP_TRACKER_H_
