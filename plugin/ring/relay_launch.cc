#include "plugin/ring/relay_launch.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

extern char** environ;

namespace invact {

namespace {

constexpr int kRelayMemfd = 3;
constexpr int kStartTimeField = 22;  // of /proc/PID/stat, from 1

// What made the job load us, or load other libraries than the relay's own.
bool Inherited(std::string_view variable) {
  for (std::string_view name :
       {"LD_PRELOAD=", "CUDA_INJECTION64_PATH=", "LD_LIBRARY_PATH="}) {
    if (variable.substr(0, name.size()) == name) return false;
  }
  return true;
}

// The relay-to-be. Only async-signal-safe calls: other threads of the job may
// have held any lock when it was cloned.
[[noreturn]] void BecomeRelay(int memfd, const char* path, char* const* argv,
                              char* const* env) {
  setsid();
  const int null = open("/dev/null", O_RDWR);
  const int high = fcntl(memfd, F_DUPFD, 64);
  for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
  dup2(high, kRelayMemfd);
  if (syscall(SYS_close_range, kRelayMemfd + 1, ~0u, 0) != 0) {
    for (int fd = kRelayMemfd + 1; fd < 65536; ++fd) close(fd);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < 32; ++signal) {
    if (signal != SIGKILL && signal != SIGSTOP) {
      struct sigaction action = {};
      action.sa_handler = SIG_DFL;
      sigaction(signal, &action, nullptr);
    }
  }
  execve(path, argv, env);
  syscall(SYS_exit_group, 127);
  __builtin_unreachable();
}

// Orphans go to the nearest ancestor that asked for them: the job itself, where
// it did. While one of these is alive it has not, so that the relay goes past
// it. Process 1 of a container gets every orphan, asked or not.
class NoReaper {
 public:
  NoReaper() {
    if (prctl(PR_GET_CHILD_SUBREAPER, &was_one_, 0, 0, 0) != 0) was_one_ = 0;
    if (was_one_ != 0) prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  }
  ~NoReaper() {
    if (was_one_ != 0) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  }
  NoReaper(const NoReaper&) = delete;
  NoReaper& operator=(const NoReaper&) = delete;

 private:
  int was_one_ = 0;
};

}  // namespace

uint64_t ProcessStartTicks(pid_t pid) {
  char path[32], text[1024];
  std::snprintf(path, sizeof(path), "/proc/%d/stat", static_cast<int>(pid));
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t got = read(file, text, sizeof(text) - 1);
  close(file);
  if (got <= 0) return 0;
  text[got] = '\0';
  // The name may hold anything, also ')': the fields begin after the last one.
  const char* field = std::strrchr(text, ')');
  for (int number = 2; field != nullptr && number < kStartTimeField; ++number) {
    field = std::strchr(field + 1, ' ');
  }
  return field == nullptr ? 0 : std::strtoull(field, nullptr, 10);
}

bool LaunchRelay(int memfd, const char* relay_path, std::string* error) {
  if (access(relay_path, X_OK) != 0) {
    *error = "no relay at " + std::string(relay_path) + " (" +
             std::strerror(errno) + ")";
    return false;
  }
  // Everything that allocates happens before the clone.
  std::vector<char*> env;
  for (char** variable = environ; variable != nullptr && *variable != nullptr;
       ++variable) {
    if (Inherited(*variable)) env.push_back(*variable);
  }
  env.push_back(nullptr);
  std::string pid = std::to_string(getpid());
  std::string fd = std::to_string(kRelayMemfd);
  // Tells us from a later process that got our number.
  std::string started = std::to_string(ProcessStartTicks(getpid()));
  std::string name = "invact-relay";
  char* argv[] = {name.data(), pid.data(), fd.data(), started.data(), nullptr};

  const NoReaper no_reaper;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // Exit signal 0: neither SIGCHLD nor a plain wait() of the job can see it.
  const long child = syscall(SYS_clone, 0, nullptr, nullptr, nullptr, nullptr);
  if (child == 0) {
    // The grandchild is init's: nobody waits for it.
    const long relay =
        syscall(SYS_clone, 0, nullptr, nullptr, nullptr, nullptr);
    if (relay == 0) BecomeRelay(memfd, relay_path, argv, env.data());
    syscall(SYS_exit_group, relay < 0 ? 1 : 0);
  }
  const int clone_error = errno;
  int status = 0;
  if (child > 0) {
    while (waitpid(static_cast<pid_t>(child), &status, __WCLONE) < 0 &&
           errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child < 0 || status != 0) {
    *error = std::string("the relay could not be started (") +
             std::strerror(child < 0 ? clone_error : EAGAIN) + ")";
    return false;
  }
  return true;
}

}  // namespace invact
