// Finds the step that a report is about among what is stored of a run.
#ifndef INVACT_DAEMON_ANALYSIS_CHOSEN_STEP_H_
#define INVACT_DAEMON_ANALYSIS_CHOSEN_STEP_H_

#include "absl/status/statusor.h"
#include "daemon/analysis/step_choice.h"
#include "daemon/store/stored_run.h"

namespace invact {

// Both point into the StoredRun.
struct ChosenStep {
  const v1::StepTotals* totals = nullptr;
  const v1::SiteTable* table = nullptr;  // null: no rows are stored of it
};

// kFailedPrecondition: no step at all is stored. kNotFound: not this one.
absl::StatusOr<ChosenStep> FindStep(const StoredRun& run,
                                    const StepChoice& choice);

// The complete step with the largest baseline; null where none is complete.
const v1::StepTotals* LargestStep(const StoredRun& run);

}  // namespace invact

#endif  // INVACT_DAEMON_ANALYSIS_CHOSEN_STEP_H_
