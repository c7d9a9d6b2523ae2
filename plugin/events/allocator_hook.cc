#include "plugin/events/allocator_hook.h"

#if __has_include(<cuda_runtime_api.h>)

#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <dlfcn.h>

#include <algorithm>

#include "plugin/events/memory_events.h"
#include "plugin/observe/scope_stack.h"
#include "plugin/ring/writer.h"

namespace invact {

namespace {

using c10::CachingDeviceAllocator::BlockInfo;
using c10::CachingDeviceAllocator::SegmentInfo;
using c10::CachingDeviceAllocator::TraceEntry;
using c10::cuda::CUDACachingAllocator::CUDAAllocator;

CUDAAllocator* g_allocator = nullptr;  // set before the tracker is attached
int g_devices = 0;

// A snapshot of ours runs on this thread and has come to this device. Torch
// tells of it with the lock of each device in turn, all of them as device 0.
constinit thread_local int t_snapshot_device = -1;

EventKind KindOfAction(TraceEntry::Action action) {
  switch (action) {
    case TraceEntry::ALLOC:
      return EventKind::kAlloc;
    case TraceEntry::FREE_REQUESTED:
      return EventKind::kFree;
    case TraceEntry::FREE_COMPLETED:
      return EventKind::kFreeCompleted;
    case TraceEntry::SEGMENT_ALLOC:
      return EventKind::kSegmentAlloc;
    case TraceEntry::SEGMENT_FREE:
      return EventKind::kSegmentFree;
    case TraceEntry::SEGMENT_MAP:
      return EventKind::kSegmentMap;
    case TraceEntry::SEGMENT_UNMAP:
      return EventKind::kSegmentUnmap;
    case TraceEntry::OOM:
      return EventKind::kOom;
    default:
      return EventKind::kNone;
  }
}

uint32_t ScopeNow() {
  const ScopeStack& stack = ScopeStack::OfThread();
  if (stack.depth == 0) return kNoSite;
  return stack.frames[std::min(stack.depth, ScopeStack::kMaxDepth) - 1].scope;
}

Record EventAt(EventKind kind, int device, uint64_t address, size_t bytes) {
  Record event = {};
  event.time_ns = static_cast<uint64_t>(MonotonicNs());
  event.address = address;
  event.bytes = static_cast<int64_t>(bytes);
  event.site = kNoSite;
  event.step = g_memory_step.load(std::memory_order_relaxed);
  event.kind = static_cast<uint8_t>(kind);
  event.source = static_cast<uint8_t>(EventSource::kTorch);
  event.device = static_cast<int8_t>(device);
  event.thread = ThreadId();
  return event;
}

// With the allocator's lock of the entry's device.
void OnTrace(const TraceEntry& entry) {
  if (!MemoryEventsWanted()) return;
  if (entry.action_ == TraceEntry::SNAPSHOT) {
    if (t_snapshot_device < 0) return;  // the job's own
    if (DeviceEvents* events = EventsOfDevice(t_snapshot_device++)) {
      events->Cut();
    }
    return;
  }
  DeviceEvents* events = EventsOfDevice(entry.device_);
  const EventKind kind = KindOfAction(entry.action_);
  if (events == nullptr || kind == EventKind::kNone) return;
  Record event = EventAt(kind, entry.device_, entry.addr_, entry.size_);
  event.stream = reinterpret_cast<uintptr_t>(entry.stream_);
  if (kind == EventKind::kOom) {
    event.stream = entry.addr_;  // bytes that the device has left
    event.address = 0;
  }
  if (kind == EventKind::kAlloc || kind == EventKind::kOom) {
    event.site = ScopeNow();
  }
  events->FromAllocator(event);
}

// A segment's blocks stand one behind the other.
void Append(const SegmentInfo& segment, std::vector<Record>* to) {
  Record event = EventAt(EventKind::kBaselineSegment, segment.device,
                         segment.address, segment.total_size);
  event.stream = reinterpret_cast<uintptr_t>(segment.stream);
  to->push_back(event);
  for (const BlockInfo& block : segment.blocks) {
    event.bytes = static_cast<int64_t>(block.requested_size);
    event.kind =
        static_cast<uint8_t>(block.allocated ? EventKind::kBaselineBlock
                                             : EventKind::kBaselineAwaiting);
    if (block.active) to->push_back(event);
    event.address += block.size;
  }
}

}  // namespace

AllocatorState FindAllocator(int* devices, std::string* why) noexcept {
  if (g_allocator == nullptr) {
    // Looked up, not linked: the plugin also serves a torch without CUDA.
    void* library = dlopen("libc10_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) return AllocatorState::kNone;
    auto* allocator = static_cast<std::atomic<CUDAAllocator*>*>(
        dlsym(library, "_ZN3c104cuda20CUDACachingAllocator9allocatorE"));
    if (allocator == nullptr) return AllocatorState::kNone;
    CUDAAllocator* found = allocator->load();
    if (found == nullptr) return AllocatorState::kNone;
    try {
      if (!found->initialized()) return AllocatorState::kNone;
      g_devices =
          c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).deviceCount();
    } catch (const std::exception& error) {
      *why = error.what();
      return AllocatorState::kUnserved;
    }
    g_allocator = found;
  }
  *devices = g_devices;
  try {
    const std::string name = g_allocator->name();
    if (name == "native") return AllocatorState::kReady;
    *why = "the allocator " + name + " does not tell of single blocks";
  } catch (const std::exception& error) {
    *why = error.what();
  }
  return AllocatorState::kUnserved;
}

bool AttachTracker(std::string* why) noexcept {
  try {
    g_allocator->attachAllocatorTraceTracker(OnTrace);
    return true;
  } catch (const std::exception& error) {
    *why = error.what();
    return false;
  }
}

bool TakeSnapshot(std::vector<std::vector<Record>>* baselines,
                  std::string* why) noexcept {
  try {
    t_snapshot_device = 0;
    const auto snapshot = g_allocator->snapshot({0, 0}, false);
    const int told = std::exchange(t_snapshot_device, -1);
    if (told != g_devices) {
      *why = "a snapshot of " + std::to_string(g_devices) +
             " devices was told of " + std::to_string(told) + " times";
      return false;
    }
    baselines->assign(static_cast<size_t>(g_devices), {});
    for (int device = 0; device < g_devices; ++device) {
      (*baselines)[static_cast<size_t>(device)].push_back(
          EventAt(EventKind::kBaselineBegin, device, 0, 0));
    }
    for (const SegmentInfo& segment : snapshot.segments) {
      Append(segment, &baselines->at(static_cast<size_t>(segment.device)));
    }
    for (int device = 0; device < g_devices; ++device) {
      (*baselines)[static_cast<size_t>(device)].push_back(
          EventAt(EventKind::kBaselineEnd, device, 0, 0));
    }
    return true;
  } catch (const std::exception& error) {
    t_snapshot_device = -1;
    *why = error.what();
    return false;
  }
}

bool ReadStats(int device, Record* stats) noexcept {
  constexpr auto kAll =
      static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  try {
    const auto now =
        g_allocator->getDeviceStats(static_cast<c10::DeviceIndex>(device));
    *stats = EventAt(EventKind::kAllocatorStats, device,
                     static_cast<uint64_t>(now.reserved_bytes[kAll].current),
                     static_cast<size_t>(now.allocated_bytes[kAll].current));
    stats->stream = static_cast<uint64_t>(now.requested_bytes[kAll].current);
    return true;
  } catch (const std::exception&) {
    return false;  // the mark is made without
  }
}

void UseAllocator(CUDAAllocator* allocator, int devices) noexcept {
  g_allocator = allocator;
  g_devices = devices;
}

}  // namespace invact

#else

namespace invact {

// Built where CUDA's headers are not.
AllocatorState FindAllocator(int*, std::string* why) noexcept {
  *why = "this invact was built without CUDA";
  return AllocatorState::kUnserved;
}
bool AttachTracker(std::string*) noexcept { return false; }
bool TakeSnapshot(std::vector<std::vector<Record>>*, std::string*) noexcept {
  return false;
}
bool ReadStats(int, Record*) noexcept { return false; }
void UseAllocator(c10::cuda::CUDACachingAllocator::CUDAAllocator*,
                  int) noexcept {}

}  // namespace invact

#endif
