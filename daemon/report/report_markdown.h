// The report as GitHub-flavoured Markdown, for issues and pull requests. Names
// of the job are escaped: they can't open a link, a tag or a table cell.
#ifndef INVACT_DAEMON_REPORT_REPORT_MARKDOWN_H_
#define INVACT_DAEMON_REPORT_REPORT_MARKDOWN_H_

#include <string>

#include "invact/v1/run.pb.h"

namespace invact {

std::string ReportToMarkdown(const v1::Report& report);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_REPORT_MARKDOWN_H_
