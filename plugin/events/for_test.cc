// What tests read of the events. Not part of any interface.
#include <algorithm>

#include "plugin/events/memory_events.h"

#define INVACT_EXPORT extern "C" __attribute__((visibility("default")))

namespace invact {

namespace {

struct Numbers {
  int64_t* out;
  int64_t room;
  void Add(int64_t number) {
    if (room-- > 0) *out++ = number;
  }
  void Add(const ByCategory& bytes) {
    for (const int64_t one : bytes) Add(one);
  }
};

}  // namespace

}  // namespace invact

// live, awaiting, reserved; of the newest mark that has them: torch's allocated
// bytes, rounding, by how much requested and reserved bytes differ; mismatches,
// unknown frees, missed frees, corrected, counted together, gaps; the step
// under way: index, peak, reserved peak, allocations, frees, out-of-memories;
// bytes of each category now, and at the peak. 0 when done, 1 where the device
// has none.
INVACT_EXPORT int invact_memory_for_test(int device, int64_t* out,
                                         int64_t room) {
  const invact::DeviceEvents* events = invact::EventsOfDevice(device);
  if (events == nullptr) return 1;
  events->Read([&](const invact::MemoryAccount& account) {
    invact::Numbers numbers{out, room};
    const invact::Reconciled& mark = account.reconciled();
    const invact::Oddities& odd = account.oddities();
    const invact::StepMemory step = account.step();
    for (const int64_t number :
         {account.live_bytes(), account.awaiting_bytes(),
          account.reserved_bytes(), mark.allocated, mark.rounding,
          mark.requested_off, mark.reserved_off, odd.mismatches,
          odd.unknown_frees, odd.missed_frees, odd.corrected, odd.together,
          odd.gaps, step.step, step.peak_bytes, step.peak_reserved,
          step.allocations, step.frees, step.out_of_memory}) {
      numbers.Add(number);
    }
    numbers.Add(account.by_category());
    numbers.Add(step.at_peak);
  });
  return events->broken() ? 2 : 0;
}

// How many blocks there are; the first `room` of them: address, bytes,
// category, 1 where it awaits its free.
INVACT_EXPORT int64_t invact_memory_blocks_for_test(int device,
                                                    int64_t (*out)[4],
                                                    int64_t room) {
  const invact::DeviceEvents* events = invact::EventsOfDevice(device);
  if (events == nullptr) return -1;
  int64_t count = 0;
  events->Read([&](const invact::MemoryAccount& account) {
    account.ForEachBlock([&](uint64_t address, const invact::LiveBlock& block) {
      if (count++ >= room) return;
      int64_t* row = out[count - 1];
      row[0] = static_cast<int64_t>(address);
      row[1] = block.bytes;
      row[2] = static_cast<int64_t>(block.category);
      row[3] = block.awaiting ? 1 : 0;
    });
  });
  return count;
}
