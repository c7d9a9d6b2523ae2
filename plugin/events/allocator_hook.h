// What is asked of torch's CUDA caching allocator: to tell of its events, for a
// snapshot, for its statistics. The only file of events that knows torch.
//
// The tracker that is registered can't be taken off again: it returns at once
// where events are not wanted. It is called with the allocator's lock for the
// device held. Threads: any; Attach once.
#ifndef INVACT_PLUGIN_EVENTS_ALLOCATOR_HOOK_H_
#define INVACT_PLUGIN_EVENTS_ALLOCATOR_HOOK_H_

#include <atomic>
#include <string>
#include <vector>

#include "plugin/events/event.h"

namespace c10::cuda::CUDACachingAllocator {
class CUDAAllocator;
}

namespace invact {

// Step of the newest mark, for the events.
inline std::atomic<uint32_t> g_memory_step{0};

enum class AllocatorState {
  kNone,      // torch without CUDA, or no device was used yet
  kReady,     // serves `devices`
  kUnserved,  // tells nothing of single blocks (cudaMallocAsync, pluggable)
};
AllocatorState FindAllocator(int* devices, std::string* why) noexcept;

// False with the reason.
bool AttachTracker(std::string* why) noexcept;

// Calls Cut of each device's events as its snapshot is taken; the devices'
// baselines as events. False with the reason.
bool TakeSnapshot(std::vector<std::vector<Record>>* baselines,
                  std::string* why) noexcept;

// An allocator_stats event.
bool ReadStats(int device, Record* stats) noexcept;

// Instead of torch's own, for tests.
void UseAllocator(c10::cuda::CUDACachingAllocator::CUDAAllocator* allocator,
                  int devices) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_ALLOCATOR_HOOK_H_
