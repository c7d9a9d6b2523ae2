// A list of runs as JSON, schema invact.runs/v1.
#ifndef INVACT_DAEMON_REPORT_RUNS_JSON_H_
#define INVACT_DAEMON_REPORT_RUNS_JSON_H_

#include <string>
#include <vector>

#include "invact/v1/run.pb.h"

namespace invact {

// In the order given. Indented, ends with a newline.
std::string RunsToJson(const std::vector<v1::Run>& runs);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_RUNS_JSON_H_
