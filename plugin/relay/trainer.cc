#include "plugin/relay/trainer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "plugin/ring/relay_launch.h"

namespace invact {

namespace {

// linux/pidfd.h of Linux 6.15; older headers don't have it.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t pid, tgid, ppid;
  uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr uint64_t kPidfdInfoExit = 1u << 3;
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);

}  // namespace

Trainer::Trainer(pid_t pid, uint64_t started, bool use_pidfd)
    : pid_(pid), started_(started) {
  if (use_pidfd) {
    pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  }
  // Looked at after the open: whoever has the number now is who we hold.
  if (started_ != 0 && ProcessStartTicks(pid_) != started_) {
    if (pidfd_ >= 0) close(pidfd_);
    pidfd_ = -1;
    gone_ = true;
  }
}

Trainer::~Trainer() {
  if (pidfd_ >= 0) close(pidfd_);
}

bool Trainer::gone() {
  if (gone_) return true;
  if (pidfd_ >= 0) {
    pollfd ready = {pidfd_, POLLIN, 0};
    gone_ = poll(&ready, 1, 0) > 0;
  } else {
    gone_ = !AliveInProc();
  }
  return gone_;
}

Trainer::Told Trainer::AskStatus(int* status) const {
  if (pidfd_ < 0) return Told::kNever;
  PidfdInfo info = {};
  info.mask = kPidfdInfoExit;
  if (ioctl(pidfd_, kPidfdGetInfo, &info) != 0) return Told::kNever;
  if ((info.mask & kPidfdInfoExit) == 0) return Told::kLater;
  *status = info.exit_code;
  return Told::kNow;
}

bool Trainer::AliveInProc() const {
  char path[32], text[1024];
  std::snprintf(path, sizeof(path), "/proc/%d/stat", static_cast<int>(pid_));
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t got = read(file, text, sizeof(text) - 1);
  close(file);
  if (got <= 0) return false;
  text[got] = '\0';
  // state is field 3, the number of threads 20, the start time 22.
  const char* field = std::strrchr(text, ')');
  if (field == nullptr || field[1] == '\0') return false;
  const char state = field[2];
  long threads = 0;
  uint64_t started = 0;
  for (int number = 2; field != nullptr && number < 22; ++number) {
    field = std::strchr(field + 1, ' ');
    if (field != nullptr && number + 1 == 20) threads = std::atol(field);
    if (field != nullptr && number + 1 == 22) {
      started = std::strtoull(field, nullptr, 10);
    }
  }
  if (started_ != 0 && started != started_) return false;
  // A main thread that ended before the others is a zombie, too.
  return state != 'X' && !(state == 'Z' && threads <= 1);
}

}  // namespace invact
