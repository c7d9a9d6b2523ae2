// Events as tests write them: short.
#ifndef INVACT_TESTS_UNIT_EVENTS_EVENTS_H_
#define INVACT_TESTS_UNIT_EVENTS_EVENTS_H_

#include "plugin/events/event.h"

namespace invact {

struct EventOf {
  EventKind kind;
  uint64_t address = 0;
  int64_t bytes = 0;
  uint32_t site = kNoSite;
  uint32_t step = 0;
  uint64_t stream = 0;
  MemoryCategory category = MemoryCategory::kUnknown;

  operator Record() const {  // NOLINT: what makes them short
    static uint64_t now = 1000;
    Record record = {};
    record.time_ns = ++now;
    record.address = address;
    record.bytes = bytes;
    record.stream = stream;
    record.site = site;
    record.step = step;
    record.kind = static_cast<uint8_t>(kind);
    record.action = static_cast<uint8_t>(category);
    return record;
  }
};

}  // namespace invact

#endif  // INVACT_TESTS_UNIT_EVENTS_EVENTS_H_
