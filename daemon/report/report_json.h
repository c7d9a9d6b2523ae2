// The report as JSON, schema invact.report/v1: bytes are integers, what is not
// known is null, keys come in the order of the design. Text is ASCII (\u
// escapes), so that no name can reach a terminal as a control sequence.
#ifndef INVACT_DAEMON_REPORT_REPORT_JSON_H_
#define INVACT_DAEMON_REPORT_REPORT_JSON_H_

#include <string>

#include "invact/v1/run.pb.h"

namespace invact {

inline constexpr char kReportSchema[] = "invact.report/v1";

// Indented, ends with a newline.
std::string ReportToJson(const v1::Report& report);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_REPORT_JSON_H_
