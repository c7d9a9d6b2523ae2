// Folders and sockets: where they are, whether they can be used, how much fits.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/cli/doctor.h"
#include "daemon/report/units.h"

namespace invact::cli {
namespace {

namespace fs = std::filesystem;

// Below it a run may not fit: a spool takes up to 256 MiB.
constexpr int64_t kLittleSpace = int64_t{512} << 20;

// The folder itself, or the nearest one above it that exists.
std::string Existing(std::string path) {
  struct stat info;
  while (path.size() > 1 && stat(path.c_str(), &info) != 0) {
    path = fs::path(path).parent_path();
  }
  return path;
}

int64_t FreeBytes(const std::string& path) {
  struct statvfs info;
  if (statvfs(path.c_str(), &info) != 0) return 0;
  return static_cast<int64_t>(info.f_bavail) *
         static_cast<int64_t>(info.f_frsize);
}

// Why others could get at it or nobody can; empty: nothing.
std::string Wrong(const std::string& path, std::string* fix) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return "";
  if (!S_ISDIR(info.st_mode)) {
    *fix = absl::StrCat("rm ", path, ", or name another folder");
    return "is a link or no folder";
  }
  if (info.st_uid != geteuid()) {
    *fix = "name another folder";
    return absl::StrCat("belongs to uid ", info.st_uid, ", not to you");
  }
  if (info.st_mode & 077) {
    *fix = absl::StrCat("chmod 700 ", path);
    return absl::StrFormat("has mode %04o: others can read or write there",
                           info.st_mode & 07777);
  }
  return "";
}

// access() says yes on a read-only or full disk: a file is made and removed.
std::string WriteError(const std::string& folder) {
  std::string name = folder + "/.invact-doctor-XXXXXX";
  const int fd = mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) return strerror(errno);
  const bool wrote = write(fd, "x", 1) == 1;
  const int error = errno;
  close(fd);
  unlink(name.c_str());
  return wrote ? "" : strerror(error);
}

DoctorCheck CheckFolder(const std::string& name, const std::string& path,
                        const std::string& variable) {
  DoctorCheck out;
  out.name = name;
  if (path.empty()) {
    out.status = "fail";
    out.detail = "none of INVACT_STATE_DIR, XDG_STATE_HOME and HOME is set";
    out.fix = absl::StrCat("export ", variable, "=FOLDER");
    return out;
  }
  const std::string there = Existing(path);
  const int64_t free = FreeBytes(there);
  const std::string wrong = Wrong(path, &out.fix);
  const std::string unwritable = WriteError(there);
  out.status = "ok";
  out.detail =
      absl::StrCat(path, there == path ? ", writable, " : ", to be made, ",
                   Bytes(free), " free");
  if (!wrong.empty()) {
    out.status = "fail";
    out.detail = absl::StrCat(path, " ", wrong);
  } else if (!unwritable.empty()) {
    out.status = "fail";
    out.detail = absl::StrCat(there, " is not writable: ", unwritable);
    out.fix = absl::StrCat("export ", variable, "=FOLDER that is writable");
  } else if (free < kLittleSpace) {
    out.status = "warn";
    out.fix = absl::StrCat("make room, or export ", variable, "=FOLDER");
  }
  return out;
}

// A relay takes the first folder that works: one of them has to.
DoctorCheck CheckSpoolDirs(const Environment& environment) {
  DoctorCheck out;
  std::string tried;
  for (const std::string& path : SpoolDirs(environment.paths)) {
    out = CheckFolder("spool_dir", path, "INVACT_SPOOL_DIR");
    if (out.status != "fail") {
      if (tried.empty()) return out;
      out.status = "warn";
      out.detail = absl::StrCat(out.detail, "; before it: ", tried);
      out.fix = "repair the first, or export INVACT_SPOOL_DIR=FOLDER";
      return out;
    }
    absl::StrAppend(&tried, tried.empty() ? "" : "; ", out.detail);
  }
  out.detail = tried;
  return out;
}

}  // namespace

std::vector<DoctorCheck> CheckPaths(const Environment& environment) {
  std::vector<DoctorCheck> out;
  out.push_back(CheckFolder("state_dir", StateDir(environment.paths),
                            "INVACT_STATE_DIR"));
  out.push_back(CheckSpoolDirs(environment));
  DaemonAddress address;
  DoctorCheck socket;
  socket.name = "socket";
  if (!ParseDaemonAddress(environment.paths, &address, &socket.detail)) {
    socket.status = "fail";
    socket.fix = "correct or unset INVACT_DAEMON";
    out.push_back(socket);
  } else if (address.unix_socket) {
    const std::string folder = fs::path(address.socket).parent_path();
    socket = CheckFolder("socket", folder, "XDG_RUNTIME_DIR");
    if (socket.status != "fail") {
      socket.status = "ok";
      socket.fix.clear();
      socket.detail = absl::StrCat(
          address.socket, ", ", address.socket.size(), " of 107 bytes, folder ",
          Existing(folder) == folder ? "yours alone" : "to be made");
    }
    out.push_back(socket);
  }
  return out;
}

}  // namespace invact::cli
