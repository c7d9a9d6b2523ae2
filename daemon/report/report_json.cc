#include "daemon/report/report_json.h"

#include "daemon/report/json_parts.h"

namespace invact {

std::string ReportToJson(const v1::Report& report) {
  return Dump(ReportFields(report));
}

}  // namespace invact
