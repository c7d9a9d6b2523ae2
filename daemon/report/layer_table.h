// The part of the text report that shows layers. Internal to this folder.
#ifndef INVACT_DAEMON_REPORT_LAYER_TABLE_H_
#define INVACT_DAEMON_REPORT_LAYER_TABLE_H_

#include <string>

#include "daemon/report/text_style.h"
#include "invact/v1/run.pb.h"

namespace invact {

// Equal blocks folded, small lines added up: fits a screen.
std::string LayerTableText(const v1::Report& report, const TextStyle& style);
// Each call site with its whole name (up to 160 columns): lines may be longer
// than the style says.
std::string SiteTable(const v1::Report& report, const TextStyle& style);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_LAYER_TABLE_H_
