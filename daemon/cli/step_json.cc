#include "daemon/cli/step_json.h"

namespace invact::cli {
namespace {

std::optional<double> Between(int64_t begin_ns, int64_t end_ns) {
  if (begin_ns <= 0 || end_ns < begin_ns) return std::nullopt;
  return static_cast<double>(end_ns - begin_ns) * 1e-9;
}

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

}  // namespace

std::optional<double> StepSeconds(const v1::StepTotals& step) {
  return Between(step.begin_ns(), step.end_ns());
}

Json StepFields(const v1::StepTotals& step) {
  Json out;
  out["index"] = step.index();
  out["complete"] = step.complete();
  out["phase"] = step.phase();
  out["baseline_bytes"] = step.baseline_bytes();
  out["held_bytes"] = step.held_bytes();
  out["side_bytes"] = step.side_bytes();
  out["eliminated_bytes"] = step.baseline_bytes() - step.held_bytes();
  out["activation_bytes"] = step.activation_bytes();
  out["input_bytes"] = step.input_bytes();
  out["weight_copy_bytes"] = step.weight_copy_bytes();
  out["saved_tensors"] = step.saved_tensors();
  out["seconds"] = OrNull(StepSeconds(step));
  out["forward_seconds"] =
      OrNull(Between(step.begin_ns(), step.backward_begin_ns()));
  out["backward_seconds"] =
      OrNull(Between(step.backward_begin_ns(), step.end_ns()));
  const auto bytes = [&out](const char* key, bool known, int64_t value) {
    out[key] = known ? Json(value) : Json();
  };
  bytes("allocated_before_bytes", step.has_allocated_before_bytes(),
        step.allocated_before_bytes());
  bytes("allocated_instant_bytes", step.has_allocated_instant_bytes(),
        step.allocated_instant_bytes());
  bytes("peak_allocated_bytes", step.has_peak_allocated_bytes(),
        step.peak_allocated_bytes());
  bytes("peak_reserved_bytes", step.has_peak_reserved_bytes(),
        step.peak_reserved_bytes());
  bytes("saved_at_peak_bytes", step.has_saved_at_peak_bytes(),
        step.saved_at_peak_bytes());
  bytes("eliminated_at_peak_bytes", step.has_eliminated_at_peak_bytes(),
        step.eliminated_at_peak_bytes());
  return out;
}

}  // namespace invact::cli
