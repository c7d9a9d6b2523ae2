#include "daemon/store/totals.h"

namespace invact {

#define INVACT_BIND_OPTIONAL(field) \
  totals.has_##field() ? query.Bind(totals.field()) : query.BindNull()

void BindTotals(Query& query, const v1::StepTotals& totals) {
  query.BindAll(totals.index(), int64_t{totals.complete()}, totals.phase(),
                totals.baseline_bytes(), totals.held_bytes(),
                totals.side_bytes(), totals.begin_ns(),
                totals.backward_begin_ns(), totals.end_ns());
  INVACT_BIND_OPTIONAL(allocated_before_bytes);
  INVACT_BIND_OPTIONAL(allocated_instant_bytes);
  INVACT_BIND_OPTIONAL(peak_allocated_bytes);
  INVACT_BIND_OPTIONAL(peak_reserved_bytes);
  INVACT_BIND_OPTIONAL(saved_at_peak_bytes);
  INVACT_BIND_OPTIONAL(eliminated_at_peak_bytes);
  query.Bind(totals.saved_tensors());
  INVACT_BIND_OPTIONAL(device_forward_seconds);
  INVACT_BIND_OPTIONAL(device_backward_seconds);
  query.BindAll(totals.activation_bytes(), totals.input_bytes(),
                totals.weight_copy_bytes());
  INVACT_BIND_OPTIONAL(device_step_seconds);
}
#undef INVACT_BIND_OPTIONAL

#define INVACT_READ_OPTIONAL(field, Kind) \
  if (auto v = query.Optional##Kind()) totals.set_##field(*v)

v1::StepTotals ReadTotals(Query& query) {
  v1::StepTotals totals;
  totals.set_index(query.Int());
  totals.set_complete(query.Int() != 0);
  totals.set_phase(query.Text());
  totals.set_baseline_bytes(query.Int());
  totals.set_held_bytes(query.Int());
  totals.set_side_bytes(query.Int());
  totals.set_begin_ns(query.Int());
  totals.set_backward_begin_ns(query.Int());
  totals.set_end_ns(query.Int());
  INVACT_READ_OPTIONAL(allocated_before_bytes, Int);
  INVACT_READ_OPTIONAL(allocated_instant_bytes, Int);
  INVACT_READ_OPTIONAL(peak_allocated_bytes, Int);
  INVACT_READ_OPTIONAL(peak_reserved_bytes, Int);
  INVACT_READ_OPTIONAL(saved_at_peak_bytes, Int);
  INVACT_READ_OPTIONAL(eliminated_at_peak_bytes, Int);
  totals.set_saved_tensors(query.Int());
  INVACT_READ_OPTIONAL(device_forward_seconds, Double);
  INVACT_READ_OPTIONAL(device_backward_seconds, Double);
  totals.set_activation_bytes(query.Int());
  totals.set_input_bytes(query.Int());
  totals.set_weight_copy_bytes(query.Int());
  INVACT_READ_OPTIONAL(device_step_seconds, Double);
  return totals;
}
#undef INVACT_READ_OPTIONAL

}  // namespace invact
