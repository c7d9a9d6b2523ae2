#include "daemon/cli/child.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <thread>

namespace invact::cli {
namespace {

using std::chrono::milliseconds;

constexpr int kPassedOn[] = {SIGTERM, SIGINT,  SIGHUP, SIGUSR1,
                             SIGUSR2, SIGCONT, SIGQUIT};
constexpr milliseconds kFirstTick(250);
constexpr milliseconds kLongestTick(5000);
// kill() of a group queues to one member after the other.
constexpr milliseconds kGroupDelivery(5);

// A process beside the command that takes no signal but keeps it pending: it
// tells a signal to the whole group (Ctrl-C, a batch system) from one to this
// process alone. Dies with this process. What is pending stays pending, so one
// that saw a signal is replaced: a second signal to the group within that half
// millisecond is taken for one to this process, and passed on.
class Witness {
 public:
  Witness() { Start(); }
  ~Witness() { Stop(pid_); }

  // Whether it was sent the signal too.
  bool Saw(int signal) {
    const auto deadline = std::chrono::steady_clock::now() + kGroupDelivery;
    while (pid_ > 0) {
      if (Pending() >> (signal - 1) & 1) {
        const pid_t seen = pid_;
        Start();
        Stop(seen);
        return true;
      }
      if (std::chrono::steady_clock::now() > deadline) break;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return false;
  }

 private:
  void Start() {
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "invact-witness");
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    syscall(SYS_close_range, 0u, ~0u, 0);
    while (getppid() == parent) pause();
    _exit(0);
  }

  static void Stop(pid_t pid) {
    if (pid <= 0) return;
    kill(pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  uint64_t Pending() const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    uint64_t pending = 0;
    for (std::string word; status >> word;) {
      if (word == "ShdPnd:") {
        status >> std::hex >> pending;
        break;
      }
    }
    return pending;
  }

  pid_t pid_ = -1;
};

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

SignalGate::SignalGate() {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigemptyset(&watched_);
  for (int signal : kPassedOn) {
    struct sigaction old;
    sigaddset(&blocked, signal);
    sigaction(signal, nullptr, &old);
    if (old.sa_handler != SIG_IGN) sigaddset(&watched_, signal);
  }
  sigaddset(&blocked, SIGCHLD);
  sigaddset(&watched_, SIGCHLD);
  sigprocmask(SIG_BLOCK, &blocked, &inherited_mask_);
  // Where SIGCHLD is ignored the kernel throws exit codes away.
  sigaction(SIGCHLD, nullptr, &inherited_child_);
  std::signal(SIGCHLD, SIG_DFL);
}

void SignalGate::RestoreForChild() const {
  sigaction(SIGCHLD, &inherited_child_, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  sigprocmask(SIG_SETMASK, &inherited_mask_, nullptr);
}

// Reports errno through a pipe that a successful exec closes.
pid_t StartChild(const SignalGate& gate,
                 const std::vector<std::string>& command,
                 const std::vector<std::string>& environment,
                 const std::function<void()>& prepare, int* error) {
  std::vector<std::string> words = command, variables = environment;
  const std::vector<char*> argv = Pointers(words), envp = Pointers(variables);
  int failed[2];
  if (pipe2(failed, O_CLOEXEC) != 0) {
    *error = errno;
    return -1;
  }
  const pid_t pid = fork();
  if (pid == 0) {
    gate.RestoreForChild();
    if (prepare) prepare();
    execvpe(argv[0], argv.data(), envp.data());
    const int why = errno;
    if (write(failed[1], &why, sizeof(why)) < 0) _exit(126);
    _exit(127);
  }
  *error = pid < 0 ? errno : 0;
  close(failed[1]);
  if (pid > 0) {
    ssize_t n;
    int why = 0;
    while ((n = read(failed[0], &why, sizeof(why))) < 0 && errno == EINTR) {
    }
    if (n == sizeof(why)) *error = why;
  }
  close(failed[0]);
  return pid;
}

bool ChildEnded(pid_t pid, ChildEnd* end) {
  int status = 0;
  const pid_t got = waitpid(pid, &status, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return false;
  if (got == pid && WIFSIGNALED(status)) end->signal = WTERMSIG(status);
  if (got == pid && WIFEXITED(status)) end->exit_code = WEXITSTATUS(status);
  return true;
}

bool SignalGate::AskedToEnd() const {
  sigset_t ends = watched_;
  for (int signal : {SIGCHLD, SIGCONT, SIGUSR1, SIGUSR2}) {
    sigdelset(&ends, signal);
  }
  const timespec now{0, 0};
  return sigtimedwait(&ends, nullptr, &now) > 0;
}

ChildEnd RunChild(const SignalGate& gate,
                  const std::vector<std::string>& command,
                  const std::vector<std::string>& environment,
                  const std::function<void(pid_t)>& tick) {
  ChildEnd end;
  Witness witness;
  end.pid = StartChild(gate, command, environment, nullptr, &end.start_error);
  end.forked = end.pid > 0;
  if (!end.forked) return end;
  milliseconds interval = kFirstTick;
  auto next_tick = std::chrono::steady_clock::now();
  while (!ChildEnded(end.pid, &end)) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_tick) {
      if (end.start_error == 0) tick(end.pid);
      next_tick = now + interval;
      interval = std::min(2 * interval, kLongestTick);
    }
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::max<std::chrono::steady_clock::duration>(next_tick - now,
                                                      milliseconds(1)));
    const timespec wait{left.count() / 1'000'000'000,
                        left.count() % 1'000'000'000};
    siginfo_t info;
    const int signal = sigtimedwait(&gate.watched(), &info, &wait);
    if (signal > 0 && signal != SIGCHLD && !witness.Saw(signal)) {
      kill(end.pid, signal);
    }
  }
  return end;
}

void DieBy(int signal) {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  std::signal(signal, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  raise(signal);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace invact::cli
