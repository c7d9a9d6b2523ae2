// What differs between the reports of two or more runs. The first is what the
// others are compared with.
#ifndef INVACT_DAEMON_REPORT_DIFF_H_
#define INVACT_DAEMON_REPORT_DIFF_H_

#include <string>
#include <vector>

#include "daemon/report/text_style.h"
#include "invact/v1/run.pb.h"

namespace invact {

// Schema invact.diff/v1:
//   runs    the runs compared, as in a report
//   fields  [{"path": "saved.held_bytes", "values": [one a run, or null]}], of
//           the fields of invact.report/v1 that are not the same in all;
//           a run's own id, pid and times are left out
//   layers  [{"name", "op", "ordinal", "baseline_bytes": [one a run, or null],
//           "held_bytes", "side_bytes", "eliminated_bytes", "action",
//           "declined"}], of the call sites that are not the same in all
std::string DiffToJson(const std::vector<v1::Report>& reports);

std::string DiffToText(const std::vector<v1::Report>& reports,
                       const TextStyle& style);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_DIFF_H_
