// The device's own count of its used memory, taken apart: torch's reserved
// bytes, what CUPTI knows of other libraries, and the rest, `untracked`: CUDA's
// contexts and modules, other processes, what CUPTI does not tell of. So the
// three always add up to the device's number.
//
// Owner: a device's account. Threads: externally locked.
#ifndef INVACT_PLUGIN_EVENTS_DEVICE_BYTES_H_
#define INVACT_PLUGIN_EVENTS_DEVICE_BYTES_H_

#include <cstdint>
#include <vector>

#include "plugin/events/event.h"

namespace invact {

// How much of `foreign` is known: the `action` of a device_used event.
enum class ForeignKnown : uint8_t {
  kNo,  // CUPTI is off: it is part of untracked
  kYes,
  kUncertain,  // records were missed: freed since or made since
};

struct DeviceBytes {
  struct Holder {
    uint32_t scope;  // named after the library; kNoSite: not known which
    int64_t bytes;
  };

  int64_t time_ns = 0;  // 0: the device was never asked
  int64_t step = -1;
  int64_t total = 0, used = 0, reserved = 0, foreign = 0;
  ForeignKnown known = ForeignKnown::kNo;
  std::vector<Holder> holders;  // of foreign, as told

  int64_t untracked() const { return used - reserved - foreign; }
};

// Samples one after the other: a device_used event, then its device_foreign.
class DeviceSamples {
 public:
  void OnEvent(const Record& event) {
    if (KindOf(event) == EventKind::kDeviceForeign) {
      newest_.foreign += event.bytes;
      newest_.holders.push_back({event.site, event.bytes});
      return;
    }
    if (newest_.used >= largest_.used) largest_ = newest_;
    newest_ = {};
    newest_.time_ns = static_cast<int64_t>(event.time_ns);
    newest_.step = event.step;
    newest_.total = static_cast<int64_t>(event.address);
    newest_.used = event.bytes;
    newest_.reserved = static_cast<int64_t>(event.stream);
    newest_.known = static_cast<ForeignKnown>(event.action);
  }

  const DeviceBytes& newest() const { return newest_; }
  // The one with the most bytes used, the latest of several.
  const DeviceBytes& largest() const {
    return newest_.used >= largest_.used ? newest_ : largest_;
  }

 private:
  DeviceBytes newest_, largest_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_DEVICE_BYTES_H_
