// Totals of one step as JSON: for `watch` and `export`.
#ifndef INVACT_DAEMON_CLI_STEP_JSON_H_
#define INVACT_DAEMON_CLI_STEP_JSON_H_

#include <optional>

#include "daemon/report/json_parts.h"
#include "invact/v1/run.pb.h"

namespace invact::cli {

// Bytes, seconds; null where the run does not know.
Json StepFields(const v1::StepTotals& step);

// From the first saved tensor to the end of the backward, by the host's clock;
// nothing where the step did not end.
std::optional<double> StepSeconds(const v1::StepTotals& step);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_STEP_JSON_H_
