// The columns of a step's totals, the same in `steps` and `site_tables`, and
// the way between a row and the message. Change all four places together.
#ifndef INVACT_DAEMON_STORE_TOTALS_H_
#define INVACT_DAEMON_STORE_TOTALS_H_

#include "daemon/store/database.h"
#include "invact/v1/run.pb.h"

#define INVACT_TOTALS_COLUMNS                                                 \
  "step, complete, phase, baseline_bytes, held_bytes, side_bytes, begin_ns, " \
  "backward_begin_ns, end_ns, allocated_before_bytes, "                       \
  "allocated_instant_bytes, peak_allocated_bytes, peak_reserved_bytes, "      \
  "saved_at_peak_bytes, eliminated_at_peak_bytes, saved_tensors, "            \
  "device_forward_seconds, device_backward_seconds, activation_bytes, "       \
  "input_bytes, weight_copy_bytes, device_step_seconds"

#define INVACT_TOTALS_PLACES \
  "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"

namespace invact {

// Binds INVACT_TOTALS_PLACES.
void BindTotals(Query& query, const v1::StepTotals& totals);
// Reads INVACT_TOTALS_COLUMNS.
v1::StepTotals ReadTotals(Query& query);

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_TOTALS_H_
