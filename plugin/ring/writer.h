// The writing side of the rings and tables: never blocks, never allocates
// after a thread's first record, counts what it has to drop.
//
// Threads: PushRecord from any; each thread claims one ring for itself and
// gives it back when it ends. PushStepTotals, PublishTable and PutKernel from
// one thread at a time (the Recorder's lock); so are PushDigests and
// AppendParameter (the Digests' lock), and PushMemoryRecords (that of
// memory_changes.h). In a forked child nothing here
// may be called; a claim that the child inherited is not given back by it.
//
// Order: a record is written before `written` is stored with release; the
// reader loads `written` with acquire, and gives the slot back by storing
// `read` with release. A table's words are stored with release between an odd
// and an even version, and loaded with acquire, so that no fence is needed.
#ifndef INVACT_PLUGIN_RING_WRITER_H_
#define INVACT_PLUGIN_RING_WRITER_H_

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>

#include "plugin/ring/ring_layout.h"

namespace invact {

inline thread_local constinit uint32_t t_thread_id = 0;

inline uint32_t ThreadId() noexcept {
  if (t_thread_id == 0) {
    t_thread_id = static_cast<uint32_t>(syscall(SYS_gettid));
  }
  return t_thread_id;
}

namespace ring_internal {

// Asks for the pages now. A kernel before Linux 5.14 refuses: then they come
// one by one as they are met.
inline void Populate(void* begin, size_t bytes) noexcept {
  constexpr int kPopulateForWriting = 23;  // MADV_POPULATE_WRITE
  constexpr uintptr_t kPage = 4096;
  const auto first = reinterpret_cast<uintptr_t>(begin) & ~(kPage - 1);
  const auto end = reinterpret_cast<uintptr_t>(begin) + bytes;
  (void)madvise(reinterpret_cast<void*>(first), end - first,
                kPopulateForWriting);
}

// The claim itself has no destructor, so that reading it costs no guard.
struct Claim {
  EventRing* ring;
  SharedRun* shared;
  bool ended;  // the thread's destructors have run: it claims no more
};
inline thread_local constinit Claim t_claim = {nullptr, nullptr, false};

// Another thread may take the ring over: `written` goes on where it stood.
inline void Release() noexcept {
  if (t_claim.ring != nullptr) {
    // Not the cached id: in a forked child it is still the parent's, and the
    // parent goes on writing to this ring.
    auto owner = static_cast<uint32_t>(syscall(SYS_gettid));
    t_claim.ring->owner.compare_exchange_strong(
        owner, 0, std::memory_order_release, std::memory_order_relaxed);
  }
  t_claim.ring = nullptr;
}

struct ReleaseAtExit {
  ~ReleaseAtExit() {
    Release();
    t_claim.ended = true;
  }
};

// nullptr when all rings have owners.
inline EventRing* ClaimSlow(SharedRun* shared) noexcept {
  if (t_claim.ended) return nullptr;
  static thread_local ReleaseAtExit release_at_exit;
  (void)release_at_exit;
  Release();
  for (EventRing& ring : shared->rings) {
    uint32_t free = 0;
    if (ring.owner.load(std::memory_order_relaxed) == 0 &&
        ring.owner.compare_exchange_strong(free, ThreadId(),
                                           std::memory_order_acquire)) {
      // All at once: one page after another would cost the first steps as much
      // as everything else here. Where it is refused that is what happens.
      Populate(&ring, sizeof(ring));
      t_claim.ring = &ring;
      t_claim.shared = shared;
      return &ring;
    }
  }
  return nullptr;
}

// Word by word, so that a reader may look while it happens.
inline void StoreWords(void* to, const void* from, size_t bytes) noexcept {
  auto* out = static_cast<uint64_t*>(to);
  const auto* in = static_cast<const char*>(from);
  for (size_t i = 0; i < bytes / sizeof(uint64_t); ++i) {
    uint64_t word;
    std::memcpy(&word, in + i * sizeof(word), sizeof(word));
    std::atomic_ref<uint64_t>(out[i]).store(word, std::memory_order_release);
  }
}

}  // namespace ring_internal

// fill(Record*) writes the record in place, all of it.
template <typename Fill>
[[gnu::always_inline]] inline void PushRecordInPlace(SharedRun* shared,
                                                     Fill fill) noexcept {
  const ring_internal::Claim& claim = ring_internal::t_claim;
  EventRing* ring = claim.ring;
  if (ring == nullptr || claim.shared != shared) [[unlikely]] {
    ring = ring_internal::ClaimSlow(shared);
    if (ring == nullptr) {
      shared->control.ringless_dropped.fetch_add(1, std::memory_order_relaxed);
      return;
    }
  }
  const uint64_t written = ring->written.load(std::memory_order_relaxed);
  if (written - ring->read.load(std::memory_order_acquire) >= kRingRecords) {
    ring->dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  fill(&ring->record[written % kRingRecords]);
  ring->written.store(written + 1, std::memory_order_release);
  // The next record's line has left the cache since the ring was last here.
  __builtin_prefetch(&ring->record[(written + 2) % kRingRecords], 1);
}

inline void PushRecord(SharedRun* shared, const Record& record) noexcept {
  PushRecordInPlace(shared, [&](Record* to) { *to = record; });
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

inline void PushMemoryRow(SharedRun* shared, const MemoryRowPod& row) noexcept {
  MemoryRowRing& ring = shared->memory_rows;
  const uint64_t written = ring.written.load(std::memory_order_relaxed);
  if (written - ring.read.load(std::memory_order_acquire) >= kMemoryRowSlots) {
    shared->control.steps_dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  ring.row[written % kMemoryRowSlots] = row;
  ring.written.store(written + 1, std::memory_order_release);
}

inline uint64_t MemoryRecordsWaiting(const SharedRun& shared) noexcept {
  const MemoryRecordRing& ring = shared.memory_records;
  return ring.written.load(std::memory_order_relaxed) -
         ring.read.load(std::memory_order_acquire);
}

// All of them at once, or none: false where there is no room.
inline bool PushMemoryRecords(SharedRun* shared, const MemoryRecord* records,
                              size_t count) noexcept {
  if (MemoryRecordsWaiting(*shared) + count > kMemoryRecordSlots) return false;
  MemoryRecordRing& ring = shared->memory_records;
  const uint64_t written = ring.written.load(std::memory_order_relaxed);
  for (size_t i = 0; i < count; ++i) {
    ring.record[(written + i) % kMemoryRecordSlots] = records[i];
  }
  ring.written.store(written + count, std::memory_order_release);
  return true;
}

// How many of the records there was room for; the others are the caller's.
inline size_t PushDigests(SharedRun* shared, const DigestRecord* records,
                          size_t count) noexcept {
  DigestRing& ring = shared->digests;
  const uint64_t written = ring.written.load(std::memory_order_relaxed);
  const uint64_t used = written - ring.read.load(std::memory_order_acquire);
  const size_t room = used < kDigestSlots ? kDigestSlots - used : 0;
  if (count > room) count = room;
  for (size_t i = 0; i < count; ++i) {
    ring.record[(written + i) % kDigestSlots] = records[i];
  }
  ring.written.store(written + count, std::memory_order_release);
  return count;
}

// The parameter's number; kNoSite when the table is full.
inline uint32_t AppendParameter(SharedRun* shared,
                                const ParameterEntry& entry) noexcept {
  std::atomic<uint32_t>& count = shared->control.parameter_count;
  const uint32_t number = count.load(std::memory_order_relaxed);
  if (number >= kMaxLeaves) return kNoSite;
  shared->parameters[number] = entry;
  count.store(number + 1, std::memory_order_release);
  return number;
}

// Fills the table that `slot` does not name, then lets `slot` name it. `tables`
// and `slot` are .last and .last_slot, or .max and .max_slot. Killed anywhere
// inside, the table named before is still whole.
inline void PublishTable(SiteTable (&tables)[2], std::atomic<uint32_t>* slot,
                         const StepTotalsPod& totals, const SiteRow* rows,
                         uint32_t count) noexcept {
  const uint32_t next = 1 - (slot->load(std::memory_order_relaxed) & 1);
  SiteTable& table = tables[next];
  const uint64_t version = table.version.load(std::memory_order_relaxed) & ~1ul;
  table.version.store(version + 1, std::memory_order_relaxed);
  if (count > kMaxSites) count = kMaxSites;
  const uint32_t head[2] = {count, 0};
  static_assert(offsetof(SiteTable, pad) == offsetof(SiteTable, rows) + 4);
  ring_internal::StoreWords(&table.totals, &totals, sizeof(totals));
  ring_internal::StoreWords(&table.rows, head, sizeof(head));
  ring_internal::StoreWords(table.row, rows, count * sizeof(SiteRow));
  table.version.store(version + 2, std::memory_order_release);
  slot->store(next, std::memory_order_release);
}

// Enters the finding as number `slot`, at most one beyond those there are.
inline void PutKernel(SharedRun* shared, uint32_t slot,
                      const KernelEntry& entry) noexcept {
  Control& control = shared->control;
  if (slot >= kMaxKernels) return;
  KernelSlot& to = control.kernels[slot];
  const uint64_t version = to.version.load(std::memory_order_relaxed) & ~1ul;
  to.version.store(version + 1, std::memory_order_relaxed);
  ring_internal::StoreWords(&to.entry, &entry, sizeof(entry));
  to.version.store(version + 2, std::memory_order_release);
  if (control.kernel_count.load(std::memory_order_relaxed) == slot) {
    control.kernel_count.store(slot + 1, std::memory_order_release);
  }
}

}  // namespace invact

#endif  // INVACT_PLUGIN_RING_WRITER_H_
