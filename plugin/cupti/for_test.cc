// What tests read of the device's memory. Not part of any interface.
#include <cstdio>
#include <exception>

#include "plugin/cupti/sample.h"

#define INVACT_EXPORT extern "C" __attribute__((visibility("default")))

// Takes a sample of all devices where `step` >= 0 (of the calling thread, while
// no step of a job runs in another). Then, of the device: total, used,
// reserved, foreign and untracked bytes of its newest sample, ForeignKnown;
// CUPTI's live device, pinned, managed, pools, in pools; matched and assumed;
// of the channel: state, version, multiplexes, records, unread, dropped,
// unqueued, buffers, passed, copied, sessions, gaps, beyond. 0 when done.
INVACT_EXPORT int invact_gpu_memory_for_test(int device, int64_t step,
                                             int64_t* out, int64_t room) {
  using namespace invact::cupti;
  if (device < 0 || device >= kMostDevices) return 1;
  try {
    if (step >= 0) SampleAll(step);
    const Channel& channel = Channel::Get();
    const invact::DeviceBytes bytes = NewestOf(device);
    const Foreign foreign = NewestForeignOf(device);
    int64_t beyond = 0;
    const LiveBytes live = channel.Read([&](const LiveMemory& all) {
      beyond = all.beyond();
      return all.Of(device);
    });
    const Counts& counts = channel.counts();
    const int64_t numbers[] = {bytes.total,
                               bytes.used,
                               bytes.reserved,
                               bytes.foreign,
                               bytes.untracked(),
                               static_cast<int64_t>(bytes.known),
                               live.device,
                               live.pinned,
                               live.managed,
                               live.pools,
                               live.in_pools,
                               foreign.matched,
                               foreign.assumed,
                               static_cast<int64_t>(channel.state()),
                               static_cast<int64_t>(channel.version()),
                               channel.multiplexes() ? 1 : 0,
                               counts.records.load(),
                               counts.unread.load(),
                               counts.dropped.load(),
                               counts.unqueued.load(),
                               counts.buffers.load(),
                               counts.passed.load(),
                               counts.copied.load(),
                               counts.sessions.load(),
                               counts.gaps.load(),
                               beyond};
    for (const int64_t number : numbers) {
      if (room-- > 0) *out++ = number;
    }
    return bytes.time_ns == 0 ? 2 : 0;
  } catch (const std::exception&) {
    return 3;
  }
}

// "libnccl.so.2 1048576", a line each of the newest sample's foreign memory.
INVACT_EXPORT void invact_gpu_memory_libraries_for_test(int device, char* text,
                                                        int64_t size) {
  using namespace invact::cupti;
  std::string lines;
  const auto names = Channel::Get().Read(
      [](const LiveMemory& live) { return live.libraries(); });
  for (const auto& [library, bytes] : NewestForeignOf(device).by_library) {
    lines += (library == kNoLibrary ? "?" : names[library - 1]) + " " +
             std::to_string(bytes) + "\n";
  }
  std::snprintf(text, static_cast<size_t>(size), "%s", lines.c_str());
}
