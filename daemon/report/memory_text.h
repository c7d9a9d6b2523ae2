// The memory section of a text report: per device the highest peak beside the
// report's step, by category, against torch's own numbers, and the largest
// holders. "" where the run's memory was not followed.
#ifndef INVACT_DAEMON_REPORT_MEMORY_TEXT_H_
#define INVACT_DAEMON_REPORT_MEMORY_TEXT_H_

#include <string>

#include "daemon/report/text_style.h"
#include "invact/v1/run.pb.h"

namespace invact {

std::string MemoryText(const v1::Report& report, const TextStyle& style);
std::string MemoryMarkdown(const v1::Report& report);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_MEMORY_TEXT_H_
