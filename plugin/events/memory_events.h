// INVACT_EVENTS=1: every event of torch's caching allocator on CUDA devices, in
// an account of each device (memory_account.h). INVACT_EVENTS=file:PATH also
// writes them to a file, INVACT_EVENTS=store tells the relay of each change of
// an account (docs/memory_events.md). Without it nothing here runs and nothing
// is attached.
//
// Threads: any. Nothing throws or allocates device memory. Attach and the step
// marks ask the allocator, so they are made without a lock of ours held; labels
// and the other marks may be made under the Recorder's.
#ifndef INVACT_PLUGIN_EVENTS_MEMORY_EVENTS_H_
#define INVACT_PLUGIN_EVENTS_MEMORY_EVENTS_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "plugin/events/device_events.h"
#include "plugin/events/event.h"

namespace invact {

inline constexpr int kMostEventDevices = 64;

// Whether the job's events are wanted at all. False in a forked child's eyes
// too: its copies of the locks may be held for ever.
inline std::atomic<bool> g_memory_events_wanted{false};
inline bool MemoryEventsWanted() noexcept {
  return g_memory_events_wanted.load(std::memory_order_relaxed);
}

// Before anything else of this file. `file`: PATH or empty. `store`: single
// changes are told, too.
void WantMemoryEvents(const std::string& file, bool store = false) noexcept;

// Attaches to the allocator once it serves devices; nothing before that and
// when it is done. To be called where memory of the device is about to matter.
void AttachMemoryEvents() noexcept;
inline void AttachMemoryEventsIfWanted() noexcept {
  if (MemoryEventsWanted()) AttachMemoryEvents();
}

// The block at this address is for that. `device` < 0: the CPU's, passed over.
// `scope`, `site`: that saved it, where it was saved.
void LabelMemory(int device, const void* address, MemoryCategory category,
                 uint32_t scope = kNoSite, uint32_t site = kNoSite) noexcept;
inline void LabelMemoryIfWanted(int device, const void* address,
                                MemoryCategory category,
                                uint32_t scope = kNoSite,
                                uint32_t site = kNoSite) noexcept {
  if (MemoryEventsWanted() && device >= 0) {
    LabelMemory(device, address, category, scope, site);
  }
}

// An event of the job's own, now and on this thread, without values.
Record JobEvent(EventKind kind, EventSource source, int device, int64_t step);

// Where the accounts are told of from now on: a row a step and device.
void ShareMemoryEvents(SharedRun* shared) noexcept;
// An out-of-memory is told of at once: the job may not get any further.
void TellOutOfMemory() noexcept;

// A mark of event.h. step_begin, backward_begin and step_end compare torch's
// own numbers; where they differ a new baseline is taken.
void MarkMemory(EventKind mark, int64_t step) noexcept;
inline void MarkMemoryIfWanted(EventKind mark, int64_t step) noexcept {
  if (MemoryEventsWanted()) MarkMemory(mark, step);
}

// The process ends: an out-of-memory's holders are said and kept with the run,
// each device's peak is said where `say_peaks`, the event file is closed.
// `scopes`: their names by number.
void FinishMemoryEvents(const std::vector<std::string>& scopes,
                        bool say_peaks) noexcept;

// nullptr where nothing of the device is known.
DeviceEvents* EventsOfDevice(int device) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_MEMORY_EVENTS_H_
