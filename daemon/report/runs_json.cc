#include "daemon/report/runs_json.h"

#include "daemon/report/json_parts.h"

namespace invact {

std::string RunsToJson(const std::vector<v1::Run>& runs) {
  Json out;
  out["schema"] = "invact.runs/v1";
  out["runs"] = Json::array();
  for (const v1::Run& run : runs) out["runs"].push_back(RunFields(run));
  return Dump(out);
}

}  // namespace invact
