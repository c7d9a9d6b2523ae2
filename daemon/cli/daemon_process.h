// Starting an invactd of this user's and seeing it gone.
//
// Any number of callers may start one at the same time: the daemon's lock lets
// one live, everybody waits until that one answers.
#ifndef INVACT_DAEMON_CLI_DAEMON_PROCESS_H_
#define INVACT_DAEMON_CLI_DAEMON_PROCESS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/cli/install.h"
#include "daemon/cli/options.h"

namespace invact::cli {

// A daemon that nobody asked for by name leaves after that time.
inline constexpr int kIdleExitSeconds = 900;

struct DaemonCommand {
  int idle_exit_seconds = 0;  // 0: stays
  std::string listen, token_file, tls_cert, tls_key;
};

// Starts invactd on the default socket or the one INVACT_DAEMON names,
// detached: a session of its own, no descriptor and no directory of the
// caller's. Returns when its socket takes connections. kUnavailable says why
// none came up; kInvalidArgument: it refused its options.
absl::Status StartDaemon(const Environment& environment, const Install& install,
                         const DaemonCommand& command);

// False: the process still lives when the time is over.
bool WaitUntilGone(pid_t pid, absl::Duration time);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_DAEMON_PROCESS_H_
