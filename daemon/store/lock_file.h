// Who owns a database or a socket: a file that names host, boot and pid, held
// by flock as long as the owner lives.
//
// The kernel drops a flock when its process dies, so on one machine a stale
// file is taken over. flock may mean nothing across machines of a network file
// system: a file that names another host and another boot is refused even when
// the flock is free, because that machine may still be writing.
#ifndef INVACT_DAEMON_STORE_LOCK_FILE_H_
#define INVACT_DAEMON_STORE_LOCK_FILE_H_

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"

namespace invact {

struct LockOwner {
  std::string host;
  std::string boot;  // the kernel's boot id
  pid_t pid = 0;
};

// This process on this machine.
LockOwner ThisProcess();

class LockFile {
 public:
  // what: "database" or "socket", for the message. kAlreadyExists: another
  // live process owns it (the message says which pid); kFailedPrecondition:
  // another host does.
  static absl::StatusOr<LockFile> Take(const std::string& path,
                                       const std::string& what,
                                       const LockOwner& self);
  LockFile(LockFile&& other) noexcept;
  LockFile& operator=(LockFile&&) = delete;
  ~LockFile();

  // The owner before did not release it: it was killed.
  bool was_left_behind() const { return left_behind_; }
  // Empties the file: a clean end. Without it the next owner is told.
  void Release();

 private:
  LockFile(int fd, bool left_behind) : fd_(fd), left_behind_(left_behind) {}
  int fd_;
  bool left_behind_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_LOCK_FILE_H_
