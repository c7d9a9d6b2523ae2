#include "plugin/events/memory_events.h"

#include <algorithm>
#include <array>
#include <utility>

#include "plugin/events/allocator_hook.h"
#include "plugin/events/memory_changes.h"
#include "plugin/events/memory_rows.h"
#include "plugin/events/summary.h"
#include "plugin/log.h"
#include "plugin/observe/scope_stack.h"
#include "plugin/ring/writer.h"

namespace invact {

namespace {

// 1,398,101 events: a step of a model with a thousand layers has some 50,000.
constexpr uint64_t kFileBytes = 64u << 20;
constexpr int kMostBaselines = 8;
constexpr int kTries = 3;

enum class Attached { kNo, kUnderWay, kDone };
std::atomic<Attached> g_attached{Attached::kNo};
std::atomic<int> g_device_count{0};
std::atomic<int> g_baselines{0};
std::array<std::atomic<DeviceEvents*>, kMostEventDevices> g_events{};
std::string g_path;
bool g_store = false;
MemoryRows g_rows;
MemoryChanges g_changes;  // nothing of it is destroyed

EventFileWriter& TheFile() {
  static auto* file = new EventFileWriter;  // outlives static objects
  return *file;
}

template <typename F>
void ForEachDevice(F f) {
  const int count = g_device_count.load(std::memory_order_acquire);
  for (int device = 0; device < count; ++device) {
    f(device, g_events[static_cast<size_t>(device)].load());
  }
}

void GiveUp(const std::string& why) {
  g_memory_events_wanted.store(false);
  SayTrouble("events", why + "; events of device memory are off");
}

// What is alive now, from one snapshot of the allocator.
bool EnterBaselines() {
  std::string why = "too much was allocated meanwhile";
  for (int i = 0; i < kTries; ++i) {
    ForEachDevice([](int, DeviceEvents* events) { events->ExpectBaseline(); });
    std::vector<std::vector<Record>> baselines;
    bool entered = TakeSnapshot(&baselines, &why);
    if (!entered) break;
    ForEachDevice([&](int device, DeviceEvents* events) {
      entered &= events->EnterBaseline(baselines[static_cast<size_t>(device)]);
    });
    if (entered) return true;
  }
  GiveUp("no baseline of the allocator could be taken: " + why);
  return false;
}

void Attach(int devices) {
  std::string why;
  EventFileWriter* file = nullptr;
  if (!g_path.empty()) {
    if (TheFile().Open(g_path, kFileBytes / sizeof(Record), &why)) {
      file = &TheFile();
    } else {
      SayTrouble("events-file", "can't write events to " + why +
                                    "; they are counted all the same");
    }
  }
  devices = std::min(devices, kMostEventDevices);
  for (int i = 0; i < devices; ++i) {
    g_events[static_cast<size_t>(i)].store(
        new DeviceEvents(file, g_store ? &g_changes : nullptr));
  }
  g_device_count.store(devices, std::memory_order_release);
  if (!AttachTracker(&why)) {
    GiveUp("torch's allocator takes no tracker: " + why);
  } else {
    EnterBaselines();
  }
}

// Marks with torch's own numbers, where they can be had in one moment.
void MarkStep(const Record& mark, int device, DeviceEvents* events) {
  for (int i = 0; i < kTries; ++i) {
    const uint64_t seen = events->seen();
    Record stats;
    if (!ReadStats(device, &stats)) break;
    stats.step = mark.step;
    if (events->MarkWithStats(mark, stats, seen)) return;
  }
  events->FromJob(mark);
}

// f(device, account) gives what is to be told of a device.
template <typename F>
void TellRows(F f) noexcept {
  try {
    ForEachDevice([&](int device, DeviceEvents* events) {
      g_rows.Push(events->Read(
          [&](const MemoryAccount& account) { return f(device, account); }));
    });
  } catch (const std::exception&) {  // std::bad_alloc: these are not told
  }
}

}  // namespace

Record JobEvent(EventKind kind, EventSource source, int device, int64_t step) {
  Record event = {};
  event.time_ns = static_cast<uint64_t>(MonotonicNs());
  event.site = kNoSite;
  event.step = static_cast<uint32_t>(step);
  event.kind = static_cast<uint8_t>(kind);
  event.source = static_cast<uint8_t>(source);
  event.device = static_cast<int8_t>(device);
  event.thread = ThreadId();
  return event;
}

void ShareMemoryEvents(SharedRun* shared) noexcept {
  g_rows.ShareWith(shared);
  if (g_store) g_changes.ShareWith(shared);
}

void TellOutOfMemory() noexcept {
  TellRows([](int device, const MemoryAccount& account) {
    return RowsDue(EventKind::kOom, device, account);
  });
}

void WantMemoryEvents(const std::string& file, bool store) noexcept {
  g_path = file;
  g_store = store;
  g_memory_events_wanted.store(true);
}

void AttachMemoryEvents() noexcept {
  if (g_attached.load(std::memory_order_acquire) == Attached::kDone) return;
  Attached no = Attached::kNo;
  if (!g_attached.compare_exchange_strong(no, Attached::kUnderWay)) return;
  try {
    int devices = 0;
    std::string why;
    switch (FindAllocator(&devices, &why)) {
      case AllocatorState::kNone:
        g_attached.store(Attached::kNo);
        return;
      case AllocatorState::kUnserved:
        GiveUp(why);
        break;
      case AllocatorState::kReady:
        Attach(devices);
        break;
    }
  } catch (const std::exception& error) {
    GiveUp(error.what());
  }
  g_attached.store(Attached::kDone, std::memory_order_release);
}

void LabelMemory(int device, const void* address, MemoryCategory category,
                 uint32_t scope, uint32_t site) noexcept {
  DeviceEvents* events = EventsOfDevice(device);
  if (events == nullptr || address == nullptr) return;
  Record event = JobEvent(EventKind::kLabel, EventSource::kTorch, device,
                          g_memory_step.load());
  event.address = reinterpret_cast<uintptr_t>(address);
  event.site = scope;
  event.stream = site == kNoSite ? 0 : uint64_t{site} + 1;
  event.action = static_cast<uint8_t>(category);
  events->FromJob(event);
}

void MarkMemory(EventKind kind, int64_t step) noexcept {
  const bool steps = kind == EventKind::kStepBegin ||
                     kind == EventKind::kBackwardBegin ||
                     kind == EventKind::kStepEnd;
  if (steps) g_memory_step.store(static_cast<uint32_t>(step));
  bool exact = true;
  ForEachDevice([&](int device, DeviceEvents* events) {
    const Record mark =
        JobEvent(kind, EventSource::kTorch, device, g_memory_step.load());
    if (!steps) return events->FromJob(mark);
    const auto mismatches = [&] {
      return events->Read([](const MemoryAccount& account) {
        return account.oddities().mismatches;
      });
    };
    const int64_t before = mismatches();
    MarkStep(mark, device, events);
    exact &= mismatches() == before;
    if (!g_store) return;
    events->Read([&](const MemoryAccount& account) {
      g_changes.TellLevelsIfDue(device, step, account);
    });
  });
  if (steps) {
    TellRows([kind](int device, const MemoryAccount& account) {
      return RowsDue(kind, device, account);
    });
  }
  if (exact) return;
  try {
    if (g_baselines.fetch_add(1) < kMostBaselines) {
      EnterBaselines();
    } else {
      GiveUp("events and torch's own numbers differed again and again");
    }
  } catch (const std::exception& error) {
    GiveUp(error.what());
  }
}

void FinishMemoryEvents(const std::vector<std::string>& scopes,
                        bool say_peaks) noexcept {
  g_memory_events_wanted.store(false);
  ForEachDevice([&](int device, DeviceEvents* events) {
    const auto [peak, failed] = events->Read([&](const MemoryAccount& account) {
      return std::make_pair(PeakLine(device, account, scopes),
                            OutOfMemoryLine(device, account, scopes));
    });
    if (!failed.empty()) {
      SayTrouble("events-oom-" + std::to_string(device), failed);
    }
    if (say_peaks && !peak.empty()) SayLine(peak);
  });
  TellRows(LastRows);
  TheFile().Close(scopes);
}

DeviceEvents* EventsOfDevice(int device) noexcept {
  return device < 0 || device >= kMostEventDevices
             ? nullptr
             : g_events[static_cast<size_t>(device)].load(
                   std::memory_order_acquire);
}

}  // namespace invact
