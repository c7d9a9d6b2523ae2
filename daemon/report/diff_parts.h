// What differs between reports, before it is written as JSON or text. Internal
// to this folder.
#ifndef INVACT_DAEMON_REPORT_DIFF_PARTS_H_
#define INVACT_DAEMON_REPORT_DIFF_PARTS_H_

#include <string>
#include <vector>

#include "daemon/report/json_parts.h"
#include "invact/v1/run.pb.h"

namespace invact {

struct FieldDiff {
  std::string path;          // "saved.held_bytes"
  std::vector<Json> values;  // one a report
};

// One call site; null where a report does not have it.
struct LayerDiff {
  std::string name;
  std::string op;
  int32_t ordinal = 0;
  std::vector<const v1::Layer*> layers;  // one a report
};

// Leaves of the reports' JSON that are not the same in all, in its order.
std::vector<FieldDiff> DiffFields(const std::vector<v1::Report>& reports);
// In the order of the first report, then of the others.
std::vector<LayerDiff> DiffLayers(const std::vector<v1::Report>& reports);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_DIFF_PARTS_H_
