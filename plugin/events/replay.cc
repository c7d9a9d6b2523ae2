#include "plugin/events/replay.h"

namespace invact {

std::map<int, std::unique_ptr<DeviceReplay>> Replay(
    std::span<const Record> events) {
  std::map<int, std::unique_ptr<DeviceReplay>> devices;
  for (const Record& event : events) {
    auto& device = devices[event.device];
    if (device == nullptr) device = std::make_unique<DeviceReplay>();
    device->account.OnEvent(event);
    if (KindOf(event) == EventKind::kStepBegin) {
      device->steps.push_back(device->account.last());
    }
  }
  for (auto& [index, device] : devices) {
    device->steps.push_back(device->account.step());
  }
  return devices;
}

}  // namespace invact
