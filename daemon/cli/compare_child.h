// One child of `invact compare`: in a process group of its own, without input,
// its output in files, ended when its time is over.
#ifndef INVACT_DAEMON_CLI_COMPARE_CHILD_H_
#define INVACT_DAEMON_CLI_COMPARE_CHILD_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/cli/child.h"

namespace invact::cli {

struct MeasuredChild {
  std::vector<std::string> command;
  std::vector<std::string> environment;
  std::string out, err;  // files, made anew
  absl::Duration timeout = absl::InfiniteDuration();
};

struct MeasuredEnd {
  ChildEnd end;
  bool timed_out = false;
  int interrupted_by = 0;  // a signal that asked this process to end
};

// A child whose time is over, and all of its group, gets SIGTERM, and SIGKILL
// ten seconds later; the same where this process is asked to end. What is left
// of the group when the child is gone is killed. `tick` as in RunChild.
MeasuredEnd RunMeasured(const SignalGate& gate, const MeasuredChild& child,
                        const std::function<void(pid_t)>& tick);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_COMPARE_CHILD_H_
