// Recorded events played into accounts: what the job knew, anywhere else.
#ifndef INVACT_PLUGIN_EVENTS_REPLAY_H_
#define INVACT_PLUGIN_EVENTS_REPLAY_H_

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "plugin/events/memory_account.h"

namespace invact {

struct DeviceReplay {
  MemoryAccount account;
  std::vector<StepMemory> steps;  // each that is over, then the one under way
};

// By device. The events of one device stand in their order.
std::map<int, std::unique_ptr<DeviceReplay>> Replay(
    std::span<const Record> events);

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_REPLAY_H_
