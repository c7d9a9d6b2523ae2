#include "plugin/relay/private_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace invact {

namespace {

constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

// True when the folder is there, made or found.
bool Make(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return true;
  const size_t slash = path.find_last_of('/');
  if (errno != ENOENT || slash == std::string::npos || slash == 0) return false;
  if (!Make(path.substr(0, slash))) return false;
  return mkdir(path.c_str(), 0700) == 0 || errno == EEXIST;
}

int Checked(int dir, const std::string& name, std::string* error) {
  if (dir < 0) {
    *error = name +
             (errno == ELOOP || errno == ENOTDIR ? " is a link or no folder"
                                                 : " can't be opened") +
             " (" + std::strerror(errno) + ")";
    return -1;
  }
  struct stat info;
  if (fstat(dir, &info) != 0) {
    *error = name + " can't be looked at (" + std::strerror(errno) + ")";
  } else if (info.st_uid != geteuid()) {
    *error = name + " belongs to uid " + std::to_string(info.st_uid) +
             ", not to uid " + std::to_string(geteuid()) +
             "; name another folder by INVACT_SPOOL_DIR";
  } else if ((info.st_mode & 077) != 0) {
    char mode[8];
    std::snprintf(mode, sizeof(mode), "%04o", info.st_mode & 07777u);
    *error = name + " has mode " + mode +
             ": others could read or write there; run: chmod 700 " + name;
  } else {
    return dir;
  }
  close(dir);
  return -1;
}

}  // namespace

int OpenPrivateDir(const std::string& path, std::string* error) {
  if (!Make(path)) {
    *error = path + " can't be made (" + std::strerror(errno) + ")";
    return -1;
  }
  return Checked(open(path.c_str(), kFlags), path, error);
}

int OpenPrivateDirAt(int parent, const std::string& name, std::string* error) {
  if (mkdirat(parent, name.c_str(), 0700) != 0 && errno != EEXIST) {
    *error = name + " can't be made (" + std::strerror(errno) + ")";
    return -1;
  }
  return Checked(openat(parent, name.c_str(), kFlags), name, error);
}

}  // namespace invact
