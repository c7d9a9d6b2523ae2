// What one event costs beside torch's own: nanoseconds of FromAllocator (the
// clock, the lock, the account) for a history like a training step's, and their
// histogram. With `store` changes are also told to a ring, which is emptied
// between steps. usage: invact_event_cost [STEPS [LAYERS [store]]]
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "plugin/events/device_events.h"
#include "plugin/events/memory_changes.h"

namespace invact {
namespace {

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

Record Of(EventKind kind, uint64_t address, int64_t bytes, uint32_t site) {
  Record event = {};
  event.address = address;
  event.bytes = bytes;
  event.site = site;
  event.kind = static_cast<uint8_t>(kind);
  return event;
}

// A layer's forward keeps three blocks and drops five; backward drops what was
// kept, and makes a gradient that stays for a step.
std::vector<Record> OneStep(int layers) {
  std::vector<Record> events;
  const auto alloc = [&](uint64_t number, uint32_t site) {
    events.push_back(Of(EventKind::kAlloc, (number + 1) << 21, 1 << 20, site));
  };
  const auto release = [&](uint64_t number) {
    const uint64_t address = (number + 1) << 21;
    events.push_back(Of(EventKind::kFree, address, 1 << 20, kNoSite));
    events.push_back(Of(EventKind::kFreeCompleted, address, 1 << 20, kNoSite));
  };
  for (int i = 0; i < layers; ++i) {
    const auto first = static_cast<uint64_t>(i) * 16;
    for (uint64_t j = 0; j < 8; ++j) alloc(first + j, uint32_t(i));
    for (uint64_t j = 3; j < 8; ++j) release(first + j);
    events.push_back(Of(EventKind::kLabel, (first + 1) << 21, 0, uint32_t(i)));
    events.back().action = static_cast<uint8_t>(MemoryCategory::kActivation);
  }
  for (int i = layers; i-- > 0;) {
    const auto first = static_cast<uint64_t>(i) * 16;
    alloc(first + 8, kNoSite);
    for (uint64_t j = 0; j < 3; ++j) release(first + j);
  }
  for (int i = 0; i < layers; ++i) {
    release(static_cast<uint64_t>(i) * 16 + 8);
  }
  return events;
}

int Run(int steps, int layers, bool store) {
  MemoryChanges changes;
  const auto shared = std::make_unique<SharedRun>();
  if (store) changes.ShareWith(shared.get());
  DeviceEvents device(nullptr, store ? &changes : nullptr);
  device.ExpectBaseline();
  device.Cut();
  std::vector<Record> parameters = {Of(EventKind::kBaselineBegin, 0, 0, 0)};
  for (int i = 0; i < layers * 12; ++i) {
    parameters.push_back(Of(EventKind::kBaselineBlock,
                            (uint64_t{1} << 44) + uint64_t(i) * 4096, 4096,
                            kNoSite));
  }
  parameters.push_back(Of(EventKind::kBaselineEnd, 0, 0, 0));
  if (!device.EnterBaseline(parameters)) return 1;

  const std::vector<Record> events = OneStep(layers);
  std::vector<int64_t> single, step_means;
  for (int step = 0; step < steps; ++step) {
    MemoryRecordRing& ring = shared->memory_records;
    ring.read.store(ring.written.load());
    device.FromJob(Of(EventKind::kStepBegin, 0, 0, 0));
    // Every other step one by one, for the histogram: the clock is in it twice.
    if (step % 2 == 1) {
      for (Record event : events) {
        const int64_t begin = Now();
        event.time_ns = static_cast<uint64_t>(Now());
        device.FromAllocator(event);
        single.push_back(Now() - begin);
      }
      continue;
    }
    const int64_t begin = Now();
    for (Record event : events) {
      event.time_ns = static_cast<uint64_t>(Now());
      device.FromAllocator(event);
    }
    step_means.push_back((Now() - begin) / static_cast<int64_t>(events.size()));
  }
  std::sort(single.begin(), single.end());
  std::sort(step_means.begin(), step_means.end());
  // A step has fewer changes than the ring has places.
  if (shared->memory_records.dropped != 0) return 1;
  const bool empty = device.Read([](const MemoryAccount& a) {
                             return a.oddities();
                           }).unknown_frees == 0 &&
                     device.Read([&](const MemoryAccount& a) {
                       return a.live_bytes();
                     }) == int64_t{layers} * 12 * 4096;
  std::printf("%zu events a step, %d steps, %d blocks alive beside them\n",
              events.size(), steps, layers * 12);
  std::printf("mean of a step, ns an event: median %ld, lowest %ld\n",
              step_means[step_means.size() / 2], step_means.front());
  std::printf("single events, one more clock each, ns: median %ld, p99 %ld\n",
              single[single.size() / 2], single[single.size() / 100 * 99]);
  constexpr int64_t kEdges[] = {20, 40, 60, 80, 100, 150, 200, 500, 1000};
  auto from = single.begin();
  int64_t edge = 0;
  for (const int64_t to : kEdges) {
    const auto until = std::lower_bound(from, single.end(), to);
    std::printf("%6ld to %5ld ns  %6.2f %%\n", edge, to,
                100.0 * double(until - from) / double(single.size()));
    from = until;
    edge = to;
  }
  std::printf("%6ld and more     %6.2f %%\n", edge,
              100.0 * double(single.end() - from) / double(single.size()));
  return empty ? 0 : 1;
}

}  // namespace
}  // namespace invact

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 400;
  const int layers = argc > 2 ? std::atoi(argv[2]) : 96;
  const bool store = argc > 3 && std::strcmp(argv[3], "store") == 0;
  if (steps < 4 || layers < 1 || (argc > 3 && !store)) {
    std::fprintf(stderr, "usage: %s [STEPS>=4 [LAYERS [store]]]\n", argv[0]);
    return 2;
  }
  return invact::Run(steps, layers, store);
}
