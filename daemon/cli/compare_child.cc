#include "daemon/cli/compare_child.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/time/clock.h"

namespace invact::cli {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(10);
constexpr absl::Duration kFirstTick = absl::Milliseconds(250);
constexpr absl::Duration kLongestTick = absl::Seconds(5);

bool Ends(int signal) {
  return signal == SIGTERM || signal == SIGINT || signal == SIGHUP ||
         signal == SIGQUIT;
}

}  // namespace

MeasuredEnd RunMeasured(const SignalGate& gate, const MeasuredChild& child,
                        const std::function<void(pid_t)>& tick) {
  MeasuredEnd out;
  ChildEnd& end = out.end;
  constexpr int kNew = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
  const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int to_out = open(child.out.c_str(), kNew, 0600);
  const int to_err = open(child.err.c_str(), kNew, 0600);
  if (in < 0 || to_out < 0 || to_err < 0) {
    end.start_error = errno;
  } else {
    end.pid = StartChild(
        gate, child.command, child.environment,
        [&] {
          setpgid(0, 0);
          dup2(in, STDIN_FILENO);
          dup2(to_out, STDOUT_FILENO);
          dup2(to_err, STDERR_FILENO);
        },
        &end.start_error);
  }
  for (int file : {in, to_out, to_err}) {
    if (file >= 0) close(file);
  }
  end.forked = end.pid > 0;
  if (!end.forked) return out;
  absl::Time deadline = absl::Now() + child.timeout;
  absl::Time next_tick = absl::Now();
  absl::Duration interval = kFirstTick;
  bool asked = false;  // to end
  const auto ask = [&] {
    kill(-end.pid, asked ? SIGKILL : SIGTERM);
    asked = true;
    deadline = absl::Now() + kGrace;
  };
  while (!ChildEnded(end.pid, &end)) {
    const absl::Time now = absl::Now();
    if (now >= deadline) {
      out.timed_out = out.timed_out || out.interrupted_by == 0;
      ask();
    }
    if (now >= next_tick) {
      if (end.start_error == 0) tick(end.pid);
      next_tick = now + interval;
      interval = std::min(2 * interval, kLongestTick);
    }
    const timespec wait = absl::ToTimespec(
        std::max(std::min(next_tick, deadline) - now, absl::Milliseconds(1)));
    siginfo_t info;
    const int signal = sigtimedwait(&gate.watched(), &info, &wait);
    if (signal <= 0 || signal == SIGCHLD) continue;
    if (Ends(signal)) {
      out.interrupted_by = signal;
      ask();
    } else {
      kill(-end.pid, signal);
    }
  }
  kill(-end.pid, SIGKILL);
  return out;
}

}  // namespace invact::cli
