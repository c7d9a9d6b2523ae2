// Single changes of the accounts on their way to the relay: INVACT_EVENTS=store
// (proto/memory_record.h has the record, docs/memory_events.md the way).
//
// Nothing here waits for the relay: where the ring is full changes are counted
// and dropped, a gap is told once there is room again, and then all levels, so
// that what is stored becomes right again. Levels are also told now and then,
// because records may be lost behind the ring, too.
#ifndef INVACT_PLUGIN_EVENTS_MEMORY_CHANGES_H_
#define INVACT_PLUGIN_EVENTS_MEMORY_CHANGES_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "plugin/brief_lock.h"
#include "plugin/ring/ring_layout.h"
#include "proto/memory_record.h"

namespace invact {

class MemoryAccount;

// Told of all that changes an account, in its order. Under the account's lock:
// brief, nothing foreign.
class ChangeSink {
 public:
  // One moment: what stands in the records is true after the last of them.
  virtual void OnChanges(const MemoryRecord* records,
                         size_t count) noexcept = 0;
  // Changes were missed; what was told before may be wrong.
  virtual void OnMissed() noexcept = 0;

 protected:
  ~ChangeSink() = default;
};

// Owner: MemoryEvents, or a replay; one a process. Threads: any; the lock is a
// leaf.
class MemoryChanges final : public ChangeSink {
 public:
  // Of one device, between two tellings of its levels.
  static constexpr uint64_t kLevelsEvery = 65536;

  // Nothing is told before it. The memory must outlive this.
  void ShareWith(SharedRun* shared) noexcept;
  bool shared() const noexcept { return on_.load(std::memory_order_acquire); }

  void OnChanges(const MemoryRecord* records, size_t count) noexcept override;
  void OnMissed() noexcept override;

  // At a mark, with the account's lock: tells all levels of the device where
  // they are due.
  void TellLevelsIfDue(int device, int64_t step,
                       const MemoryAccount& account) noexcept;

 private:
  static constexpr size_t kDevices = 64;

  bool Push(const MemoryRecord* records, size_t count) noexcept;
  bool LevelsDue(size_t device) noexcept;

  std::atomic<bool> on_{false};
  std::atomic<bool> missed_{false};  // something happened before it was on
  BriefLock mutex_;
  SharedRun* shared_ = nullptr;
  bool gap_due_ = false;  // a gap is to be told before anything else
  uint64_t gap_ = 0;      // dropped since the last one
  std::array<bool, kDevices> levels_due_ = {};
  std::array<uint64_t, kDevices> since_levels_ = {};
};

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_MEMORY_CHANGES_H_
