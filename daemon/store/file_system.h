// What kind of file system holds a folder, and whether other machines may have
// it mounted, too. SQLite's log can't be shared between machines, so a
// database there is opened by one process alone (Database::Mode).
#ifndef INVACT_DAEMON_STORE_FILE_SYSTEM_H_
#define INVACT_DAEMON_STORE_FILE_SYSTEM_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace invact {

struct FileSystem {
  std::string name;  // "ext4", "nfs", or the type's number
  bool network = false;
};

// By the kernel's number for the type (statfs's f_type). FUSE counts as
// network: sshfs and most cluster clients are FUSE.
FileSystem FileSystemOfType(uint64_t type);

absl::StatusOr<FileSystem> FileSystemOf(const std::string& path);

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_FILE_SYSTEM_H_
