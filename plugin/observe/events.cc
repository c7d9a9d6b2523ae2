#include "plugin/observe/events.h"

#include "plugin/observe/scope_stack.h"
#include "plugin/ring/writer.h"

namespace invact {

void EmitSaved(SharedRun* shared, EventKind kind, int64_t now_ns,
               const void* data, int64_t bytes, uint32_t site, int64_t step,
               int device, Action action) noexcept {
  const uint32_t thread = ThreadId();
  PushRecordInPlace(shared, [&](Record* record) {
    record->time_ns = static_cast<uint64_t>(now_ns);
    record->address = reinterpret_cast<uintptr_t>(data);
    record->bytes = bytes;
    record->stream = 0;
    record->site = site;
    record->step = static_cast<uint32_t>(step);
    record->kind = static_cast<uint8_t>(kind);
    record->source = static_cast<uint8_t>(EventSource::kTorch);
    record->device = static_cast<int8_t>(device);
    record->action = static_cast<uint8_t>(action);
    record->thread = thread;
  });
}

void EmitStep(SharedRun* shared, EventKind kind,
              const StepTotalsPod& totals) noexcept {
  shared->live.totals = totals;
  const bool begin = kind == EventKind::kStepBegin;
  const bool end = kind == EventKind::kStepEnd;
  EmitSaved(shared, kind,
            begin ? totals.begin_ns
                  : (end ? totals.end_ns : totals.backward_begin_ns),
            nullptr, begin ? 0 : totals.held_bytes, kNoSite, totals.index, -1,
            Action::kKeep);
}

void PushStep(SharedRun* shared, const StepTotalsPod& totals) noexcept {
  PushStepTotals(shared, totals);
}

}  // namespace invact
