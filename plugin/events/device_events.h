// The events of one device on their way from torch's allocator, and from the
// plugin, into the device's account and into the event file, across baselines.
//
// A baseline is one snapshot of the allocator. Events from before the snapshot
// are in it; those that come between it and its being entered wait in a buffer
// of fixed size. So nothing is counted twice and nothing is missed, whatever
// other threads allocate meanwhile.
//
// Owner: MemoryEvents, one a device, never destroyed. Threads: any. Its lock is
// a leaf: it is taken under the allocator's and under the Recorder's lock, and
// nothing foreign is called under it. Nothing throws: where memory of the
// processor runs out, the device's events end.
#ifndef INVACT_PLUGIN_EVENTS_DEVICE_EVENTS_H_
#define INVACT_PLUGIN_EVENTS_DEVICE_EVENTS_H_

#include <atomic>
#include <mutex>
#include <span>
#include <vector>

#include "plugin/brief_lock.h"
#include "plugin/events/event_file.h"
#include "plugin/events/memory_account.h"

namespace invact {

class DeviceEvents {
 public:
  static constexpr size_t kMostPending = 16384;

  // `file`: nullptr, or where every event that is entered goes as well;
  // `changes`: nullptr, or where the account's changes are told.
  explicit DeviceEvents(EventFileWriter* file = nullptr,
                        ChangeSink* changes = nullptr)
      : file_(file) {
    account_.TellChangesTo(changes);
  }

  // An event of the allocator's, with its lock for this device held.
  void FromAllocator(const Record& event) noexcept;
  // A label or a mark of ours.
  void FromJob(const Record& event) noexcept;

  // A snapshot is about to be taken: events are in it until Cut.
  void ExpectBaseline() noexcept;
  // It is being taken now, with the allocator's lock held.
  void Cut() noexcept;
  // Enters it: baseline_begin ... baseline_end. False where it can't be used:
  // Cut was not called, or more happened since than was kept; then another one
  // is needed.
  bool EnterBaseline(std::span<const Record> baseline) noexcept;

  // How many events of the allocator's came so far.
  uint64_t seen() const { return seen_.load(std::memory_order_acquire); }
  // A mark and torch's own numbers, if they belong to the same moment: nothing
  // came after the `seen` of before they were read. False otherwise.
  bool MarkWithStats(const Record& mark, const Record& stats,
                     uint64_t seen) noexcept;

  bool broken() const { return state_.load() == State::kBroken; }

  // f(const MemoryAccount&) under the lock: brief, and nothing foreign.
  template <typename F>
  auto Read(F f) const {
    std::lock_guard lock(mutex_);
    return f(account_);
  }

 private:
  enum class State { kOff, kBeforeCut, kAfterCut, kLive, kBroken };

  void Enter(const Record& event);
  template <typename F>
  void Try(F f) noexcept;

  mutable BriefLock mutex_;
  std::atomic<State> state_{State::kOff};  // written with the lock
  std::atomic<uint64_t> seen_{0};
  bool overflowed_ = false;
  std::vector<Record> pending_;
  EventFileWriter* file_;
  MemoryAccount account_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_DEVICE_EVENTS_H_
