// A directory that only this user can enter.
#ifndef INVACT_DAEMON_STORE_PRIVATE_DIR_H_
#define INVACT_DAEMON_STORE_PRIVATE_DIR_H_

#include <string>

#include "absl/status/status.h"

namespace invact {

// Makes the directory and its missing parents with mode 0700, or checks that
// an existing one is a directory (no link), owned by this user, with no right
// for anybody else. kPermissionDenied says what is wrong and how to repair it.
absl::Status EnsurePrivateDir(const std::string& path);

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_PRIVATE_DIR_H_
