#include "daemon/report/tool_json.h"

#include "daemon/report/json_parts.h"

namespace invact {
namespace {

Json TextOrNull(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

}  // namespace

std::string DoctorToJson(const std::vector<DoctorCheck>& checks) {
  Json out;
  out["schema"] = "invact.doctor/v1";
  out["checks"] = Json::array();
  for (const DoctorCheck& check : checks) {
    Json one;
    one["name"] = check.name;
    one["status"] = check.status;
    one["detail"] = TextOrNull(check.detail);
    one["fix"] = TextOrNull(check.fix);
    out["checks"].push_back(std::move(one));
  }
  return Dump(out);
}

std::string VersionToJson(const VersionFacts& facts) {
  Json out;
  out["schema"] = "invact.version/v1";
  out["version"] = facts.version;
  out["protocol"] = facts.protocol;
  out["database"] = facts.database;
  out["plugins"] = facts.plugins;
  return Dump(out);
}

std::string ErrorToJson(const std::string& code, const std::string& message,
                        const std::string& next) {
  Json out;
  out["error"]["code"] = code;
  out["error"]["message"] = message;
  out["error"]["next"] = TextOrNull(next);
  return DumpLine(out);
}

}  // namespace invact
