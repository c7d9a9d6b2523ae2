// The daemon's log: a rotated file of mode 0600 in the state folder, and
// stderr where asked. Any thread. No secret, path of a job's data or argument
// goes in: log what the daemon did, with run ids.
#ifndef INVACT_DAEMON_LOG_H_
#define INVACT_DAEMON_LOG_H_

#include <string>

#include "absl/status/status.h"

namespace invact {

absl::Status StartLog(const std::string& file, const std::string& level,
                      bool to_stderr);
void LogError(const std::string& text);
void LogInfo(const std::string& text);
void LogDebug(const std::string& text);

}  // namespace invact

#endif  // INVACT_DAEMON_LOG_H_
