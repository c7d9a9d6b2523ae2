// One line a call site, with a header line, by RFC 4180 but for line ends
// (LF). Control characters come as \n, \xHH; a text that a spreadsheet would
// take for a formula gets a leading apostrophe.
#ifndef INVACT_DAEMON_REPORT_REPORT_CSV_H_
#define INVACT_DAEMON_REPORT_REPORT_CSV_H_

#include <string>

#include "invact/v1/run.pb.h"

namespace invact {

std::string ReportToCsv(const v1::Report& report);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_REPORT_CSV_H_
