// From what is stored of a run to the one report that every format prints.
// Pure functions: no clock, no database, any thread.
//
// All bytes and the peak are those of one step; see docs/accounting.md. What
// the run did not record stays unset in the message and is printed as null.
#ifndef INVACT_DAEMON_REPORT_BUILD_REPORT_H_
#define INVACT_DAEMON_REPORT_BUILD_REPORT_H_

#include "absl/status/statusor.h"
#include "daemon/analysis/step_choice.h"
#include "daemon/store/stored_run.h"
#include "invact/v1/run.pb.h"

namespace invact {

// kFailedPrecondition: nothing of any step was stored yet. kNotFound: not that
// step; the message names the steps that are there.
//
// Layers are stored of the last, the largest and the unfinished step. A report
// of another step has totals and no layers, declines or bytes by action; a
// warning says so.
absl::StatusOr<v1::Report> BuildReport(const StoredRun& run,
                                       const StepChoice& choice);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_BUILD_REPORT_H_
