#include "plugin/events/memory_changes.h"

#include <algorithm>
#include <mutex>

#include "plugin/events/memory_account.h"
#include "plugin/ring/writer.h"

namespace invact {

void MemoryChanges::ShareWith(SharedRun* shared) noexcept {
  std::lock_guard lock(mutex_);
  shared_ = shared;
  // What was there before is in no change: the levels tell.
  gap_due_ = missed_.load();
  levels_due_.fill(gap_due_);
  on_.store(shared != nullptr, std::memory_order_release);
}

void MemoryChanges::OnChanges(const MemoryRecord* records,
                              size_t count) noexcept {
  if (!shared()) return missed_.store(true, std::memory_order_relaxed);
  std::lock_guard lock(mutex_);
  Push(records, count);
}

void MemoryChanges::OnMissed() noexcept {
  if (!shared()) return missed_.store(true, std::memory_order_relaxed);
  std::lock_guard lock(mutex_);
  gap_due_ = true;
  levels_due_.fill(true);
}

// With the lock. False: dropped.
bool MemoryChanges::Push(const MemoryRecord* records, size_t count) noexcept {
  since_levels_[static_cast<size_t>(records->device) % kDevices] += count;
  bool pushed;
  if (!gap_due_) {
    pushed = PushMemoryRecords(shared_, records, count);
  } else {
    MemoryRecord gap = *records;
    gap.address = 0;
    gap.bytes = static_cast<int64_t>(gap_);
    gap.scope = gap.site = kNoMemoryPlace;
    gap.kind = static_cast<uint8_t>(EventKind::kGap);
    gap.category = gap.more = 0;
    gap.device = kEveryDevice;
    // Not at the first free place: a gap a record would be no better.
    pushed = MemoryRecordsWaiting(*shared_) <= kMemoryRecordSlots / 2 &&
             PushMemoryRecords(shared_, &gap, 1) &&
             PushMemoryRecords(shared_, records, count);
    if (pushed) {
      gap_due_ = false;
      gap_ = 0;
    }
  }
  if (pushed) return true;
  shared_->memory_records.dropped.fetch_add(count, std::memory_order_relaxed);
  gap_ += count;
  gap_due_ = true;
  levels_due_.fill(true);
  return false;
}

bool MemoryChanges::LevelsDue(size_t device) noexcept {
  std::lock_guard lock(mutex_);
  return levels_due_[device] || since_levels_[device] >= kLevelsEvery;
}

void MemoryChanges::TellLevelsIfDue(int device, int64_t step,
                                    const MemoryAccount& account) noexcept {
  const size_t place = static_cast<size_t>(device) % kDevices;
  if (!shared() || !LevelsDue(place)) return;
  MemoryRecord record = {};
  record.time_ns = static_cast<uint64_t>(account.now_ns());
  record.step = static_cast<uint32_t>(step);
  record.device = static_cast<int8_t>(device);
  bool whole = true;
  const auto push = [&](EventKind kind) {
    std::lock_guard lock(mutex_);
    record.kind = static_cast<uint8_t>(kind);
    // Where there is no room it is no loss: they are told at the next mark.
    whole = whole && !gap_due_ && PushMemoryRecords(shared_, &record, 1);
  };
  {
    // A gap that is due stands before them.
    std::lock_guard lock(mutex_);
    if (MemoryRecordsWaiting(*shared_) > kMemoryRecordSlots / 2) return;
    record.kind = static_cast<uint8_t>(EventKind::kLevel);
    record.scope = record.site = kNoMemoryPlace;
    record.category = kReservedBytes;
    record.bytes = account.reserved_bytes();
    if (!Push(&record, 1)) return;
    levels_due_[place] = false;
  }
  account.ForEachLevel([&](uint32_t scope, uint32_t site,
                           MemoryCategory category, int64_t bytes) {
    record.scope = scope;
    record.site = site;
    record.category = static_cast<uint8_t>(category);
    record.bytes = bytes;
    if (whole) push(EventKind::kLevel);
  });
  record.scope = record.site = kNoMemoryPlace;
  record.category = 0;
  record.bytes = 0;
  if (whole) push(EventKind::kLevels);
  std::lock_guard lock(mutex_);
  levels_due_[place] = levels_due_[place] || !whole;
  if (whole) since_levels_[place] = 0;
}

}  // namespace invact
