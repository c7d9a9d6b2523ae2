#include "daemon/cli/daemon_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "daemon/cli/client.h"
#include "daemon/service/rpc_status.h"

namespace invact::cli {
namespace {

// A large database that needs a schema step takes seconds.
constexpr absl::Duration kStartTime = absl::Seconds(30);
constexpr absl::Duration kGrace = absl::Milliseconds(200);
constexpr absl::Duration kTick = absl::Milliseconds(5);

// What invactd writes before it has a log: an anonymous file, so that it may
// write for as long as it lives and nobody waits for its end.
class Refusal {
 public:
  Refusal() : fd_(memfd_create("invactd-stderr", MFD_CLOEXEC)) {}
  ~Refusal() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }
  std::string Read() const {
    char text[2048];
    const ssize_t n = pread(fd_, text, sizeof(text), 0);
    absl::string_view out(text, n > 0 ? n : 0);
    absl::ConsumePrefix(&out, "invactd: ");
    absl::ConsumeSuffix(&out, "\n");
    return std::string(out);
  }

 private:
  const int fd_;
};

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// Only async-signal-safe calls: gRPC's threads may have held any lock.
[[noreturn]] void BecomeDaemon(const char* path, char* const* argv,
                               char* const* envp, int err) {
  const int null = open("/dev/null", O_RDWR);
  dup2(null, 0);
  dup2(null, 1);
  dup2(err >= 0 ? err : null, 2);
  syscall(SYS_close_range, 3u, ~0u, 0);
  for (int number = 1; number < 32; ++number) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (chdir("/") == 0) execve(path, argv, envp);
  const char* why = strerror(errno);
  if (write(2, why, strlen(why)) < 0) _exit(126);
  _exit(127);
}

// The process in between is waited for at once; invactd is init's child, so
// that it leaves no zombie with an `invact run` that lives for days.
pid_t Spawn(const std::vector<std::string>& arguments,
            const std::vector<std::string>& environment, int err) {
  std::vector<std::string> words = arguments, variables = environment;
  const std::vector<char*> argv = Pointers(words), envp = Pointers(variables);
  int told[2];
  if (pipe2(told, O_CLOEXEC) != 0) return -1;
  const pid_t middle = fork();
  if (middle == 0) {
    setsid();
    const pid_t daemon = fork();
    if (daemon == 0) BecomeDaemon(argv[0], argv.data(), envp.data(), err);
    _exit(write(told[1], &daemon, sizeof(daemon)) == sizeof(daemon) ? 0 : 1);
  }
  close(told[1]);
  pid_t daemon = -1;
  if (middle < 0 || read(told[0], &daemon, sizeof(daemon)) != sizeof(daemon)) {
    daemon = -1;
  }
  close(told[0]);
  if (middle > 0) {
    while (waitpid(middle, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  return daemon;
}

// Not even as a zombie, which an init that never reaps keeps for good.
bool Alive(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string stat;
  std::getline(file, stat);
  const size_t name_end = stat.rfind(')');
  return name_end != std::string::npos && name_end + 2 < stat.size() &&
         stat[name_end + 2] != 'Z' && stat[name_end + 2] != 'X';
}

// Another daemon that holds the socket's lock: it starts, or it stops. Read
// from the file: to try the lock would make a daemon that tries it fail.
bool OwnedByAnother(const std::string& socket) {
  std::ifstream lock(socket + ".lock");
  std::string host, name;
  pid_t pid = 0;
  if (!(lock >> host >> pid) || pid <= 0 || !Alive(pid)) return false;
  std::ifstream comm(absl::StrCat("/proc/", pid, "/comm"));
  return std::getline(comm, name) && name == "invactd";
}

enum class Outcome { kAnswers, kRefused, kOtherLeft, kSilent };

// Until somebody's daemon answers, or ours is gone and no other is there.
Outcome WaitForAnswer(pid_t ours, const std::string& socket,
                      absl::Time deadline) {
  bool other = false;
  absl::Time alone_since = absl::InfiniteFuture();
  while (absl::Now() < deadline) {
    if (ProbeSocket(socket).ok()) return Outcome::kAnswers;
    if (Alive(ours)) {
      alone_since = absl::InfiniteFuture();
    } else if (OwnedByAnother(socket)) {
      other = true;
      alone_since = absl::InfiniteFuture();
    } else {
      alone_since = std::min(alone_since, absl::Now());
      // The owner of a lock writes its name a moment later.
      if (absl::Now() - alone_since > kGrace) {
        return other ? Outcome::kOtherLeft : Outcome::kRefused;
      }
    }
    absl::SleepFor(kTick);
  }
  return Outcome::kSilent;
}

std::vector<std::string> Arguments(const std::string& program,
                                   const std::string& state,
                                   const std::string& socket,
                                   const DaemonCommand& command) {
  std::vector<std::string> out = {program};
  const auto add = [&out](const char* option, const std::string& value) {
    if (value.empty()) return;
    out.push_back(option);
    out.push_back(value);
  };
  add("--state-dir", state);
  add("--socket", socket);
  add("--listen", command.listen);
  add("--token-file", command.token_file);
  add("--tls-cert", command.tls_cert);
  add("--tls-key", command.tls_key);
  if (command.idle_exit_seconds > 0) {
    add("--idle-exit", absl::StrCat(command.idle_exit_seconds));
  }
  return out;
}

// invactd is no job: nothing is preloaded into it.
std::vector<std::string> DaemonEnvironment(const Environment& environment) {
  std::vector<std::string> out;
  for (const std::string& entry : environment.all) {
    if (!absl::StartsWith(entry, "LD_PRELOAD=") &&
        !absl::StartsWith(entry, "CUDA_INJECTION64_PATH=")) {
      out.push_back(entry);
    }
  }
  return out;
}

}  // namespace

absl::Status StartDaemon(const Environment& environment, const Install& install,
                         const DaemonCommand& command) {
  if (install.daemon.empty()) {
    return WithNext(
        absl::UnavailableError(absl::StrCat(
            "no daemon can be started: there is no invactd in ", install.bin)),
        "install it beside this program, or name a running one by "
        "INVACT_DAEMON");
  }
  DaemonAddress address;
  std::string error;
  PathEnvironment paths = environment.paths;
  if (!absl::StartsWith(paths.invact_daemon, "unix:")) paths.invact_daemon = "";
  if (!ParseDaemonAddress(paths, &address, &error)) {
    return absl::InvalidArgumentError(error);
  }
  const std::string state = StateDir(paths);
  if (state.empty()) {
    return absl::InvalidArgumentError(
        "there is no place for the database: none of INVACT_STATE_DIR, "
        "XDG_STATE_HOME and HOME is set; set INVACT_STATE_DIR");
  }
  const std::vector<std::string> arguments =
      Arguments(install.daemon, state, address.socket, command);
  const absl::Time deadline = absl::Now() + kStartTime;
  for (;;) {
    Refusal refusal;
    const pid_t pid =
        Spawn(arguments, DaemonEnvironment(environment), refusal.fd());
    if (pid < 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot start ", install.daemon, ": ", strerror(errno)));
    }
    switch (WaitForAnswer(pid, address.socket, deadline)) {
      case Outcome::kAnswers:
        return absl::OkStatus();
      case Outcome::kOtherLeft:
        continue;  // it was on its way out when ours met its lock
      case Outcome::kRefused: {
        const std::string why = refusal.Read();
        return absl::UnavailableError(absl::StrCat(
            "the daemon did not start: ",
            why.empty() ? absl::StrCat("it ended; see ", state, "/invactd.log")
                        : why));
      }
      case Outcome::kSilent:
        return WithNext(absl::UnavailableError(absl::StrCat(
                            "the daemon, pid ", pid,
                            ", does not answer on unix:", address.socket)),
                        absl::StrCat("see ", state, "/invactd.log"));
    }
  }
}

bool WaitUntilGone(pid_t pid, absl::Duration time) {
  const absl::Time deadline = absl::Now() + time;
  while (Alive(pid)) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(kTick);
  }
  return true;
}

}  // namespace invact::cli
