#include "daemon/store/private_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace invact {
namespace {

absl::Status MakeWithParents(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) {
    return absl::OkStatus();
  }
  const size_t slash = path.find_last_of('/');
  if (errno == ENOENT && slash != std::string::npos && slash > 0) {
    absl::Status status = MakeWithParents(path.substr(0, slash));
    if (!status.ok()) return status;
    if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return status;
  }
  return absl::PermissionDeniedError(
      absl::StrCat("cannot make the directory ", path, ": ", strerror(errno)));
}

}  // namespace

absl::Status EnsurePrivateDir(const std::string& path_in) {
  std::string path = path_in;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  absl::Status made = MakeWithParents(path);
  if (!made.ok()) return made;
  const int fd =
      open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        path,
        errno == ELOOP || errno == ENOTDIR ? " is a link or no directory"
                                           : " cannot be opened",
        ": ", strerror(errno), "; name another directory"));
  }
  struct stat info;
  const int result = fstat(fd, &info);
  close(fd);
  if (result != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot look at ", path, ": ", strerror(errno)));
  }
  if (info.st_uid != geteuid()) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " belongs to uid ", info.st_uid, ", not to uid ",
                     geteuid(), "; name another directory"));
  }
  if (info.st_mode & 077) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "%s has mode %04o: others could read or write there; run: chmod 700 %s",
        path, info.st_mode & 07777, path));
  }
  return absl::OkStatus();
}

}  // namespace invact
