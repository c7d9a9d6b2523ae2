// Runs a command as if this process were not in between: same terminal, same
// process group, same signals.
#ifndef INVACT_DAEMON_CLI_CHILD_H_
#define INVACT_DAEMON_CLI_CHILD_H_

#include <sys/types.h>

#include <csignal>
#include <functional>
#include <string>
#include <vector>

namespace invact::cli {

// The signals that end or steer a job, blocked in this process and all its
// threads and waited for instead. Made before any thread; undone by nothing.
class SignalGate {
 public:
  SignalGate();

  // Blocked, without those that the caller of this process had set to be
  // ignored (nohup): these stay ignored.
  const sigset_t& watched() const { return watched_; }
  // Between fork and exec: the command starts with what this process got.
  void RestoreForChild() const;
  // TERM, INT, HUP or QUIT came; takes it.
  bool AskedToEnd() const;

 private:
  sigset_t inherited_mask_;
  sigset_t watched_;
  struct sigaction inherited_child_;
};

struct ChildEnd {
  pid_t pid = 0;
  int start_error = 0;  // errno of fork or exec; 0: it was started
  bool forked = false;
  int exit_code = 0;
  int signal = 0;  // 0: it ended by itself
};

// Forks and executes command[0], looked up in PATH; its pid, or -1. `prepare`
// runs in the child before exec. *error: errno of fork or exec, else 0.
pid_t StartChild(const SignalGate& gate,
                 const std::vector<std::string>& command,
                 const std::vector<std::string>& environment,
                 const std::function<void()>& prepare, int* error);
// True once the child is gone; how it ended is then in *end. Does not wait.
bool ChildEnded(pid_t pid, ChildEnd* end);

// Starts command[0], looked up in PATH, and waits for its end. A signal that
// reaches this process alone is passed on; one that was sent to the whole
// process group, or to each process of the job, has reached the command
// already and is not. `tick` is called with the pid, first at once and then at
// growing intervals of up to 5 s.
ChildEnd RunChild(const SignalGate& gate,
                  const std::vector<std::string>& command,
                  const std::vector<std::string>& environment,
                  const std::function<void(pid_t)>& tick);

// Ends this process as the child ended: by the same signal, without a core of
// its own. Returns only where the signal does not kill.
void DieBy(int signal);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_CHILD_H_
