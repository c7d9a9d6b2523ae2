#include "daemon/store/lock_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace invact {
namespace {

LockOwner ReadOwner(int fd) {
  char text[512];
  const ssize_t n = pread(fd, text, sizeof(text), 0);
  LockOwner owner;
  if (n <= 0) return owner;
  const std::vector<std::string> words = absl::StrSplit(
      absl::string_view(text, n), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  if (words.size() > 0) owner.host = words[0];
  int pid = 0;
  if (words.size() > 1 && absl::SimpleAtoi(words[1], &pid)) owner.pid = pid;
  if (words.size() > 2) owner.boot = words[2];
  return owner;
}

}  // namespace

LockOwner ThisProcess() {
  LockOwner owner;
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  owner.host = *host ? host : "localhost";
  std::ifstream boot("/proc/sys/kernel/random/boot_id");
  boot >> owner.boot;
  owner.pid = getpid();
  return owner;
}

absl::StatusOr<LockFile> LockFile::Take(const std::string& path,
                                        const std::string& what,
                                        const LockOwner& self) {
  const int fd =
      open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        "cannot open the lock file ", path, ": ", strerror(errno)));
  }
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    const LockOwner owner = ReadOwner(fd);
    close(fd);
    if (error != EWOULDBLOCK) {
      return absl::UnavailableError(
          absl::StrCat("cannot lock ", path, ": ", strerror(error)));
    }
    return absl::AlreadyExistsError(absl::StrCat(
        "invactd already runs: pid ", owner.pid, " on ", owner.host,
        " owns the ", what, " (", path, "); stop it with: invact daemon stop"));
  }
  const LockOwner owner = ReadOwner(fd);
  if (!owner.host.empty() && (owner.pid <= 0 || owner.boot.empty())) {
    close(fd);
    return absl::FailedPreconditionError(absl::StrCat(
        "the lock file ", path, " does not say who owns the ", what,
        "; if no invactd of another host uses it, remove that file"));
  }
  if (!owner.host.empty() && owner.host != self.host &&
      owner.boot != self.boot) {
    close(fd);
    return absl::FailedPreconditionError(absl::StrCat(
        "the ", what, " is owned by invactd, pid ", owner.pid, " on host ",
        owner.host, " (", path,
        "). Use that daemon, or another --state-dir; if that host is gone, "
        "remove the lock file."));
  }
  const std::string text =
      absl::StrCat(self.host, " ", self.pid, " ", self.boot, "\n");
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, text.data(), text.size(), 0) !=
          static_cast<ssize_t>(text.size()) ||
      fsync(fd) != 0) {
    const int error = errno;
    close(fd);
    return absl::ResourceExhaustedError(absl::StrCat(
        "cannot write the lock file ", path, ": ", strerror(error)));
  }
  return LockFile(fd, !owner.host.empty());
}

LockFile::LockFile(LockFile&& other) noexcept
    : fd_(other.fd_), left_behind_(other.left_behind_) {
  other.fd_ = -1;
}

LockFile::~LockFile() {
  if (fd_ >= 0) close(fd_);
}

void LockFile::Release() {
  // The file stays: to remove it would let two owners lock two files.
  if (fd_ >= 0 && ftruncate(fd_, 0) == 0) fsync(fd_);
}

}  // namespace invact
