// What every verb gets: the environment, the flags that all verbs share, the
// output, and the daemon. Owned by main, used by the main thread alone.
#ifndef INVACT_DAEMON_CLI_SHELL_H_
#define INVACT_DAEMON_CLI_SHELL_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/cli/client.h"
#include "daemon/cli/install.h"
#include "daemon/cli/options.h"
#include "daemon/cli/output.h"

namespace invact::cli {

// How `invact` ends; `run` ends as its command does.
enum ExitCode {
  kOk = 0,
  kFailure = 1,
  kUsage = 2,
  kNotFound = 3,
  kCheckFailed = 4,
  kUnreachable = 5,
  kOwnFailure = 125,  // run: before its command started
  kNotExecutable = 126,
  kNoCommand = 127,
};

// kInvalidArgument 2, kNotFound 3, kUnavailable and kDeadlineExceeded 5,
// anything else 1.
ExitCode ExitCodeOf(const absl::Status& status);

struct Shell {
  explicit Shell(const Environment& given)
      : environment(given), output(environment) {}

  const Environment environment;
  Output output;
  const Install install = FindInstall();
  bool json = false;

  // What stands behind `--` of `invact run`.
  std::vector<std::string> command;
  // The chosen verb; gives the exit code.
  std::function<absl::StatusOr<int>()> action;

  // The daemon. Where none answers and INVACT_DAEMON is not set, one is
  // started and leaves after 15 idle minutes.
  absl::StatusOr<Client*> Daemon();
  // The same, connected anew: the one before may be gone for days.
  absl::StatusOr<Client*> DaemonAgain();
  // One line on stderr, or a JSON object under --json.
  void Complain(const absl::Status& status);

 private:
  std::unique_ptr<Client> client_;
};

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_SHELL_H_
