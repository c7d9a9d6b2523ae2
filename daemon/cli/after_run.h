// What `invact run` does when its command has ended: tells the daemon how,
// waits until all of the run is stored, and says why where there is no run.
#ifndef INVACT_DAEMON_CLI_AFTER_RUN_H_
#define INVACT_DAEMON_CLI_AFTER_RUN_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/cli/child.h"
#include "daemon/cli/job.h"
#include "daemon/cli/shell.h"

namespace invact::cli {

struct JobFacts {
  JobId job;
  std::vector<std::string> command;
  std::string policy;  // empty: the default
  absl::Time began;
  bool said_no_daemon = false;  // before the command began
  ChildEnd end;
  Sightings sightings;
};

// Takes at most 10 s; a signal that asks this process to end cuts it short.
// Whatever goes wrong is said, and changes nothing else.
void AfterRun(Shell& shell, const SignalGate& gate, const JobFacts& facts);

// Why a job that ended left no run, with what to do, in one line.
std::string WhyNoRun(const Shell& shell, const JobFacts& facts);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_AFTER_RUN_H_
