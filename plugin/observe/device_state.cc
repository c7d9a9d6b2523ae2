#include "plugin/observe/device_state.h"

#include <ATen/core/CachingHostAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "plugin/log.h"
#include "plugin/observe/oom_observer.h"

namespace invact {

namespace {

constexpr int kMaxDevices = 64;
std::atomic<uint64_t> g_devices{0};  // bit set

// Calls f for each device noted, lowest first.
template <typename F>
void ForEachDevice(F f) {
  const uint64_t devices = g_devices.load(std::memory_order_relaxed);
  for (int i = 0; i < kMaxDevices; ++i) {
    if (devices >> i & 1) f(i);
  }
}

// Whether the current stream of the device records into a graph: marking then
// would put our events into the job's graph.
bool Capturing(void* stream) {
  using IsCapturing = int (*)(void*, int*);
  static const IsCapturing is_capturing = [] {
    for (const char* name : {"libcudart.so.13", "libcudart.so.12"}) {
      if (void* runtime = dlopen(name, RTLD_LAZY | RTLD_NOLOAD)) {
        return reinterpret_cast<IsCapturing>(
            dlsym(runtime, "cudaStreamIsCapturing"));
      }
    }
    return static_cast<IsCapturing>(nullptr);
  }();
  int status = 1;
  // Not to be found out: leave the marks out.
  return is_capturing == nullptr || is_capturing(stream, &status) != 0 ||
         status != 0;
}

// The device's current stream; nothing while it is captured.
std::optional<c10::Stream> UncapturedStream(int device) {
  const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
  const c10::Stream stream = guard.getStream(
      c10::Device(c10::DeviceType::CUDA, static_cast<int8_t>(device)));
  if (Capturing(guard.getStreamNativeHandle(stream))) return std::nullopt;
  return stream;
}

// -1 while none was noted.
int FirstDevice() {
  int first = -1;
  ForEachDevice([&](int device) {
    if (first < 0) first = device;
  });
  return first;
}

// Events are kept from step to step: making one takes the driver as long as
// marking.
struct Mark {
  std::unique_ptr<c10::Event> event;
  bool made = false;  // in the step that these marks are of
};
struct Marks {
  Mark mark[3];  // by StepMark
  void Forget() {
    for (Mark& one : mark) one.made = false;
  }
};
struct Clock {
  std::mutex mutex;
  Marks now, before;
  bool broken = false;
};
Clock& DeviceClock() {
  static auto* clock = new Clock;  // outlives the device's own clean-up
  return *clock;
}

}  // namespace

void NoteDevice(int device) noexcept {
  if (device >= kMaxDevices) return;
  const uint64_t bit = uint64_t{1} << device;
  if ((g_devices.load(std::memory_order_relaxed) & bit) != 0) return;
  if (g_devices.fetch_or(bit, std::memory_order_relaxed) == 0) {
    ObserveOutOfMemory();
  }
}

bool AnyDevice() noexcept {
  return g_devices.load(std::memory_order_relaxed) != 0;
}

AllocatorBytes ReadAllocator() noexcept {
  AllocatorBytes sum;
  if (!AnyDevice()) return sum;
  try {
    auto* allocator = at::getDeviceAllocator(at::kCUDA);
    sum = {0, 0, 0, 0};
    ForEachDevice([&](int device) {
      constexpr auto kAll =
          static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
      const auto stats =
          allocator->getDeviceStats(static_cast<c10::DeviceIndex>(device));
      sum.allocated += stats.allocated_bytes[kAll].current;
      sum.reserved += stats.reserved_bytes[kAll].current;
      sum.peak_allocated += stats.allocated_bytes[kAll].peak;
      sum.peak_reserved += stats.reserved_bytes[kAll].peak;
    });
  } catch (const std::exception& error) {
    SayTrouble("allocator", error.what());
    return {};
  }
  return sum;
}

int64_t ReadPeakAllocated() noexcept { return ReadAllocator().peak_allocated; }

std::string DeviceName() noexcept {
  const int first = FirstDevice();
  if (first < 0) return "cpu";
  using GetName = int (*)(char*, int, int);
  if (void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD)) {
    auto get_name = reinterpret_cast<GetName>(dlsym(driver, "cuDeviceGetName"));
    char name[128] = {};
    if (get_name != nullptr && get_name(name, sizeof(name), first) == 0) {
      return name;
    }
  }
  return "cuda";
}

bool StreamCaptured(int device) noexcept {
  try {
    return !UncapturedStream(device).has_value();
  } catch (const std::exception& error) {
    SayTrouble("device-stream", error.what());
    return true;
  }
}

void MarkDevice(StepMark mark) noexcept {
  if (!AnyDevice()) return;
  Clock& clock = DeviceClock();
  std::lock_guard lock(clock.mutex);
  if (clock.broken) return;
  try {
    const std::optional<c10::Stream> stream = UncapturedStream(FirstDevice());
    if (!stream.has_value()) return;
    if (mark == StepMark::kBegin) {
      std::swap(clock.before, clock.now);
      clock.now.Forget();
    }
    auto& [event, made] = clock.now.mark[static_cast<int>(mark)];
    // An event belongs to the device that it was first recorded on.
    if (event == nullptr || event->device_index() != stream->device_index()) {
      event = std::make_unique<c10::Event>(c10::DeviceType::CUDA,
                                           c10::EventFlag::BACKEND_DEFAULT);
    }
    event->record(*stream);
    made = true;
  } catch (const std::exception& error) {
    clock.broken = true;
    SayTrouble("device-clock", error.what());
  }
}

DeviceSeconds TakeDeviceSeconds() noexcept {
  DeviceSeconds seconds;
  if (!AnyDevice()) return seconds;
  Clock& clock = DeviceClock();
  std::lock_guard lock(clock.mutex);
  if (clock.broken) return seconds;
  try {
    const auto& [begin, backward, end] = clock.before.mark;
    if (!begin.made || !backward.made || !end.made ||
        // Asking for an event would end the job's capture with an error.
        !UncapturedStream(FirstDevice()).has_value() || !end.event->query()) {
      return seconds;
    }
    seconds.forward = begin.event->elapsedTime(*backward.event) / 1e3;
    seconds.backward = backward.event->elapsedTime(*end.event) / 1e3;
    seconds.step = seconds.forward + seconds.backward;
    clock.before.Forget();
  } catch (const std::exception& error) {
    clock.broken = true;
    SayTrouble("device-clock", error.what());
  }
  return seconds;
}

}  // namespace invact
