// JSON of the verbs that are about invact itself, not about a run.
#ifndef INVACT_DAEMON_REPORT_TOOL_JSON_H_
#define INVACT_DAEMON_REPORT_TOOL_JSON_H_

#include <string>
#include <vector>

namespace invact {

struct DoctorCheck {
  std::string name;
  std::string status;  // ok | warn | fail
  std::string detail;
  std::string fix;  // empty: null
};
// Schema invact.doctor/v1.
std::string DoctorToJson(const std::vector<DoctorCheck>& checks);

struct VersionFacts {
  std::string version;
  std::string protocol;              // "1.0"
  int database = 0;                  // version of the database's schema
  std::vector<std::string> plugins;  // torch versions: "2.11"
};
// Schema invact.version/v1.
std::string VersionToJson(const VersionFacts& facts);

// {"error": {"code", "message", "next"}} on one line with a newline at its
// end; an empty `next` is null.
std::string ErrorToJson(const std::string& code, const std::string& message,
                        const std::string& next);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_TOOL_JSON_H_
