#include "plugin/cupti/sample.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <array>
#include <mutex>

#include "plugin/events/memory_events.h"
#include "plugin/observe/device_state.h"

namespace invact::cupti {

namespace {

constexpr int kTries = 3;
constexpr const char* kTorchsLibrary = "libc10_cuda.so";

// Torch's part of a device at one moment.
struct Torchs {
  int64_t reserved = 0;
  uint64_t generation = 0;
  bool has_account = false;
};

struct Known {
  std::vector<Segments::Range> before;  // CUPTI's begin
  uint64_t torch_generation = 0, cupti_generation = 0;
  bool made = false;
  Foreign foreign;  // of these generations
  DeviceSamples samples;
};

std::mutex g_mutex;  // what others read of it; SampleAll alone writes
std::array<Known, kMostDevices> g_known;
std::vector<Record> g_events;    // SampleAll's alone
std::vector<uint32_t> g_scopes;  // by number of library; SampleAll's alone

Torchs TorchsOf(int device) {
  if (const DeviceEvents* events = EventsOfDevice(device)) {
    return events->Read([](const MemoryAccount& account) {
      return Torchs{account.reserved_bytes(), account.segments().generation(),
                    true};
    });
  }
  return {};
}

// Where there is no account (cudaMallocAsync), torch's own number.
int64_t ReservedByTorch(int device) {
  constexpr auto kAll =
      static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return at::getDeviceAllocator(at::kCUDA)
      ->getDeviceStats(static_cast<c10::DeviceIndex>(device))
      .reserved_bytes[kAll]
      .current;
}

uint32_t ScopeOf(uint16_t library) {
  if (library == kNoLibrary) return kNoSite;
  const std::vector<std::string> names = Channel::Get().Read(
      [](const LiveMemory& live) { return live.libraries(); });
  while (g_scopes.size() < names.size()) {
    g_scopes.push_back(ScopeOfLibrary(names[g_scopes.size()]));
  }
  return library <= g_scopes.size() ? g_scopes[library - 1] : kNoSite;
}

// Unchanged tables are not gone through again.
void RenewForeign(int device, int64_t reserved, Known* known) {
  LiveBytes bytes;
  uint16_t torchs = kNoLibrary;
  const uint64_t cupti = Channel::Get().Read([&](const LiveMemory& live) {
    const auto& names = live.libraries();
    const auto it = std::find(names.begin(), names.end(), kTorchsLibrary);
    if (it != names.end()) {
      torchs = static_cast<uint16_t>(it - names.begin() + 1);
    }
    bytes = live.Of(device);
    return live.generation();
  });
  const Torchs now = TorchsOf(device);  // before what it is the number of
  if (known->made && cupti == known->cupti_generation &&
      now.generation == known->torch_generation) {
    return;
  }
  std::vector<Segments::Range> segments;
  if (const DeviceEvents* events = EventsOfDevice(device)) {
    segments = events->Read([](const MemoryAccount& account) {
      return account.segments().Ranges();
    });
  }
  const std::vector<LiveAllocation> live = Channel::Get().Read(
      [&](const LiveMemory& all) { return all.DeviceAllocations(device); });
  Foreign foreign = ForeignOf(live, segments, known->before, torchs);
  // Torch's own pools are in its reserved bytes.
  const int64_t pools = now.has_account
                            ? bytes.pools
                            : std::max<int64_t>(0, bytes.pools - reserved);
  if (pools > 0) {
    foreign.bytes += pools;
    foreign.by_library[kNoLibrary] += pools;
  }
  std::lock_guard lock(g_mutex);
  known->foreign = std::move(foreign);
  known->cupti_generation = cupti;
  known->torch_generation = now.generation;
  known->made = true;
}

void Tell(const Record& event, DeviceEvents* events, Known* known) {
  {
    std::lock_guard lock(g_mutex);
    known->samples.OnEvent(event);
  }
  if (events != nullptr) events->FromJob(event);
}

void Sample(int device, int64_t step, bool fresh) {
  Channel& channel = Channel::Get();
  const bool on = channel.state() != State::kOff;
  DeviceEvents* events = EventsOfDevice(device);
  auto* allocator = at::getDeviceAllocator(at::kCUDA);
  std::pair<size_t, size_t> memory = {0, 0};  // free, total
  Torchs torchs;
  for (int i = 0; i < kTries; ++i) {
    const Torchs before = TorchsOf(device);
    memory = allocator->getMemoryInfo(static_cast<c10::DeviceIndex>(device));
    torchs = TorchsOf(device);
    if (torchs.generation == before.generation) break;
  }
  if (!torchs.has_account) torchs.reserved = ReservedByTorch(device);
  Known& known = g_known[static_cast<size_t>(device)];
  // While the profiler is at work the last known stands.
  if (on && fresh) RenewForeign(device, torchs.reserved, &known);
  Record used =
      JobEvent(EventKind::kDeviceUsed, EventSource::kDevice, device, step);
  used.address = memory.second;
  used.bytes = static_cast<int64_t>(memory.second - memory.first);
  used.stream = static_cast<uint64_t>(torchs.reserved);
  const bool uncertain =
      channel.Read([](const LiveMemory& live) { return live.uncertain(); });
  used.action = static_cast<uint8_t>(
      !on ? ForeignKnown::kNo
          : (uncertain ? ForeignKnown::kUncertain : ForeignKnown::kYes));
  Tell(used, events, &known);
  if (!on) return;
  for (const auto& [library, bytes] : known.foreign.by_library) {
    if (bytes <= 0) continue;
    Record foreign =
        JobEvent(EventKind::kDeviceForeign, EventSource::kCupti, device, step);
    foreign.bytes = bytes;
    foreign.site = ScopeOf(library);
    Tell(foreign, events, &known);
  }
}

// What came since the last time goes into the accounts.
void TellEvents(int64_t step) {
  Channel::Get().TakeEvents(&g_events);
  for (Record& event : g_events) {
    event.step = static_cast<uint32_t>(step);
    if (event.site != kNoSite) {
      event.site = ScopeOf(static_cast<uint16_t>(event.site));
    }
    const int first = event.device < 0 ? 0 : event.device;
    const int last = event.device < 0 ? kMostDevices - 1 : event.device;
    for (int device = first; device <= last; ++device) {
      DeviceEvents* events = EventsOfDevice(device);
      if (events == nullptr) continue;
      event.device = static_cast<int8_t>(device);
      events->FromJob(event);
    }
  }
}

bool HasMemory(int device) {
  if (TorchsOf(device).reserved > 0) return true;
  const LiveBytes bytes = Channel::Get().Read(
      [&](const LiveMemory& live) { return live.Of(device); });
  return bytes.device + bytes.pools > 0;
}

}  // namespace

void NoteSegmentsBefore() {
  for (int device = 0; device < kMostDevices; ++device) {
    const DeviceEvents* events = EventsOfDevice(device);
    if (events == nullptr) continue;
    auto ranges = events->Read([](const MemoryAccount& account) {
      return account.segments().Ranges();
    });
    std::lock_guard lock(g_mutex);
    g_known[static_cast<size_t>(device)].before = std::move(ranges);
  }
}

void SampleAll(int64_t step) {
  const bool fresh = Channel::Get().Flush();
  TellEvents(step);
  for (int device = 0; device < kMostDevices; ++device) {
    if (HasMemory(device) && !StreamCaptured(device)) {
      Sample(device, step, fresh);
    }
  }
}

DeviceBytes NewestOf(int device) {
  std::lock_guard lock(g_mutex);
  return g_known[static_cast<size_t>(device)].samples.newest();
}

DeviceBytes FullestOf(int device) {
  std::lock_guard lock(g_mutex);
  return g_known[static_cast<size_t>(device)].samples.largest();
}

Foreign NewestForeignOf(int device) {
  std::lock_guard lock(g_mutex);
  return g_known[static_cast<size_t>(device)].foreign;
}

}  // namespace invact::cupti
