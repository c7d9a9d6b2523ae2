// The report for people: one sentence, then tables. Each number is tagged
// measured or modelled and has a binary unit.
#ifndef INVACT_DAEMON_REPORT_REPORT_TEXT_H_
#define INVACT_DAEMON_REPORT_REPORT_TEXT_H_

#include <string>

#include "daemon/report/text_style.h"
#include "invact/v1/run.pb.h"

namespace invact {

// Ends with a newline.
std::string ReportToText(const v1::Report& report, const TextStyle& style);

// The report's first sentence alone, without a newline: what was eliminated,
// or why nothing was and what to do next, or where the memory ran out.
std::string ReportSentence(const v1::Report& report);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_REPORT_TEXT_H_
