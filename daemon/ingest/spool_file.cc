#include "daemon/ingest/spool_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace invact {
namespace {

constexpr size_t kReadBytes = 256 << 10;

}  // namespace

absl::StatusOr<SpoolFile> SpoolFile::Open(int dir, const std::string& name) {
  const int fd =
      openat(dir, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot open ", name, ": ", strerror(errno)));
  }
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) ||
      info.st_uid != geteuid()) {
    close(fd);
    return absl::UnavailableError(
        absl::StrCat(name, " is no regular file of this user"));
  }
  return SpoolFile(fd);
}

SpoolFile::SpoolFile(SpoolFile&& other) noexcept
    : fd_(other.fd_),
      buffer_(std::move(other.buffer_)),
      at_(other.at_),
      error_(std::move(other.error_)) {
  other.fd_ = -1;
}

SpoolFile::~SpoolFile() {
  if (fd_ >= 0) close(fd_);
}

bool SpoolFile::ReadMore() {
  buffer_.erase(0, at_);
  at_ = 0;
  const size_t had = buffer_.size();
  buffer_.resize(had + kReadBytes);
  ssize_t n;
  do {
    n = read(fd_, buffer_.data() + had, kReadBytes);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    error_ = absl::UnavailableError(
        absl::StrCat("cannot read the spool: ", strerror(errno)));
  }
  buffer_.resize(had + (n > 0 ? static_cast<size_t>(n) : 0));
  return n > 0;
}

SpoolStatus SpoolFile::Header(SegmentHeader* out) {
  while (rest().size() < kSpoolHeaderBytes && ReadMore()) {
  }
  const SpoolStatus status = ParseSegmentHeader(rest(), out);
  if (status == SpoolStatus::kOk) at_ += kSpoolHeaderBytes;
  return status;
}

SpoolStatus SpoolFile::Next(Frame* out) {
  while (true) {
    const SpoolStatus status = ParseFrame(rest(), out);
    if (status == SpoolStatus::kOk) at_ += out->bytes;
    const bool ends =
        status == SpoolStatus::kTorn || status == SpoolStatus::kEnd;
    if (!ends || !ReadMore()) return status;
  }
}

}  // namespace invact
