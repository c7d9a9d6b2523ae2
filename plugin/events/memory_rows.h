// The account of a device as rows for the relay: one a step, and one for an
// out-of-memory. Pure but for Push: no torch, no I/O.
#ifndef INVACT_PLUGIN_EVENTS_MEMORY_ROWS_H_
#define INVACT_PLUGIN_EVENTS_MEMORY_ROWS_H_

#include <vector>

#include "plugin/brief_lock.h"
#include "plugin/events/memory_account.h"

namespace invact {

// What is to be told once this mark was entered: after step_begin the step
// before it, whole; after step_end the one under way, without its holders;
// after oom the first out-of-memory, which also comes with its step. May throw
// std::bad_alloc.
std::vector<MemoryRowPod> RowsDue(EventKind mark, int device,
                                  const MemoryAccount& account);
// The same when no more comes.
std::vector<MemoryRowPod> LastRows(int device, const MemoryAccount& account);

// Owner: MemoryEvents. Threads: any; the lock is a leaf.
class MemoryRows {
 public:
  // Nothing is told before it. The memory must outlive this.
  void ShareWith(SharedRun* shared) noexcept;
  void Push(const std::vector<MemoryRowPod>& rows) noexcept;

 private:
  BriefLock mutex_;
  SharedRun* shared_ = nullptr;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_MEMORY_ROWS_H_
