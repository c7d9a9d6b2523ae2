// What was saved when the allocator's peak was reached, known by looking at the
// peak now and then: it lies between two looks. What was saved then is taken
// from the look at which more was: the later one in a forward, the earlier one
// in a backward, where saved tensors only go.
//
// Threads: externally locked (by the Recorder). Bytes; kUnknown where there is
// no such allocator.
#ifndef INVACT_PLUGIN_OBSERVE_PEAK_NOTE_H_
#define INVACT_PLUGIN_OBSERVE_PEAK_NOTE_H_

#include <cstdint>

#include "plugin/ring/ring_layout.h"

namespace invact {

class PeakNote {
 public:
  // `peak` as the allocator states it now: a lower one than before was reset by
  // the job. `held`, `eliminated`: what the ledger says now.
  void Look(int64_t peak, int64_t held, int64_t eliminated, bool in_backward) {
    if (peak == kUnknown) return;
    if (peak != peak_) {
      peak_ = peak;
      held_at_peak_ = in_backward ? last_held_ : held;
      eliminated_at_peak_ = in_backward ? last_eliminated_ : eliminated;
    }
    last_held_ = held;
    last_eliminated_ = eliminated;
  }

  int64_t held_at_peak() const { return held_at_peak_; }
  int64_t eliminated_at_peak() const { return eliminated_at_peak_; }

 private:
  int64_t peak_ = kUnknown;
  int64_t held_at_peak_ = kUnknown, eliminated_at_peak_ = kUnknown;
  int64_t last_held_ = 0, last_eliminated_ = 0;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_PEAK_NOTE_H_
