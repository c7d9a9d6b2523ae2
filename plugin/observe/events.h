// Writes what happened into the rings shared with the relay. Never blocks; a
// full ring counts the loss.
#ifndef INVACT_PLUGIN_OBSERVE_EVENTS_H_
#define INVACT_PLUGIN_OBSERVE_EVENTS_H_

#include <cstdint>

#include "plugin/ring/ring_layout.h"
#include "proto/codes.h"

namespace invact {

// From any thread, without the Recorder's lock.
void EmitSaved(SharedRun* shared, EventKind kind, int64_t now_ns,
               const void* data, int64_t bytes, uint32_t site, int64_t step,
               int device, Action action) noexcept;

// With the Recorder's lock. Also mirrors the step into the live table.
void EmitStep(SharedRun* shared, EventKind kind,
              const StepTotalsPod& totals) noexcept;
void PushStep(SharedRun* shared, const StepTotalsPod& totals) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_EVENTS_H_
