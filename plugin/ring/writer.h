// The writing side of the rings: never blocks, never allocates after a
// thread's first record, counts what it has to drop.
//
// Threads: PushRecord from any; each thread claims one ring for itself and
// gives it back when it ends. PushStepTotals from one thread at a time (the
// Recorder's lock).
#ifndef INVACT_PLUGIN_RING_WRITER_H_
#define INVACT_PLUGIN_RING_WRITER_H_

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "plugin/ring/ring_layout.h"

namespace invact {

inline uint32_t ThreadId() noexcept {
  static thread_local const auto id =
      static_cast<uint32_t>(syscall(SYS_gettid));
  return id;
}

// A thread's claim on a ring. Another thread may take the ring over afterwards:
// `written` goes on from where it stood.
class RingClaim {
 public:
  ~RingClaim() {
    if (ring_ != nullptr) ring_->owner.store(0, std::memory_order_release);
  }

  // nullptr when all rings have owners.
  EventRing* Get(SharedRun* shared) noexcept {
    if (ring_ != nullptr && shared == shared_) return ring_;
    for (EventRing& ring : shared->rings) {
      uint32_t free = 0;
      if (ring.owner.compare_exchange_strong(free, ThreadId(),
                                             std::memory_order_acquire)) {
        ring_ = &ring;
        shared_ = shared;
        return ring_;
      }
    }
    return nullptr;
  }

 private:
  EventRing* ring_ = nullptr;
  SharedRun* shared_ = nullptr;
};

inline thread_local RingClaim t_ring_claim;

inline void PushRecord(SharedRun* shared, const Record& record) noexcept {
  EventRing* ring = t_ring_claim.Get(shared);
  if (ring == nullptr) {
    shared->control.ringless_dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const uint64_t written = ring->written.load(std::memory_order_relaxed);
  if (written - ring->read.load(std::memory_order_acquire) >= kRingRecords) {
    ring->dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  ring->record[written % kRingRecords] = record;
  ring->written.store(written + 1, std::memory_order_release);
}

inline void PushStepTotals(SharedRun* shared,
                           const StepTotalsPod& totals) noexcept {
  StepRing& ring = shared->steps;
  const uint64_t written = ring.written.load(std::memory_order_relaxed);
  if (written - ring.read.load(std::memory_order_acquire) >= kStepSlots) {
    shared->control.steps_dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  ring.step[written % kStepSlots] = totals;
  ring.written.store(written + 1, std::memory_order_release);
}

}  // namespace invact

#endif  // INVACT_PLUGIN_RING_WRITER_H_
