// The checks of `invact doctor`. Each looks, changes nothing but a file that it
// removes again, and says what repairs what it found.
#ifndef INVACT_DAEMON_CLI_DOCTOR_H_
#define INVACT_DAEMON_CLI_DOCTOR_H_

#include <string>
#include <vector>

#include "daemon/cli/shell.h"
#include "daemon/report/tool_json.h"

namespace invact::cli {

std::vector<DoctorCheck> CheckPaths(const Environment& environment);
std::vector<DoctorCheck> CheckDaemon(const Shell& shell);
// `python` as the user gave it; the default python3 may be missing.
std::vector<DoctorCheck> CheckJob(const Shell& shell, const std::string& python,
                                  bool given);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_DOCTOR_H_
