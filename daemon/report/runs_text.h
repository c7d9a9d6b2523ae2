// A list of runs for people: one line a run, ids as short as they stay unique.
#ifndef INVACT_DAEMON_REPORT_RUNS_TEXT_H_
#define INVACT_DAEMON_REPORT_RUNS_TEXT_H_

#include <optional>
#include <string>
#include <vector>

#include "daemon/report/text_style.h"
#include "invact/v1/run.pb.h"

namespace invact {

// In the order given, with a header line; "" where there is no run.
// last_steps: empty, or each run's last complete step (nullopt: none), whose
// held and eliminated bytes are shown.
std::string RunsToText(
    const std::vector<v1::Run>& runs, const TextStyle& style,
    const std::vector<std::optional<v1::StepTotals>>& last_steps = {});

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_RUNS_TEXT_H_
