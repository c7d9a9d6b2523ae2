// Watches the job's process: whether it lives, and how it ended where the
// kernel tells (Linux 6.15 and later keep it for the holder of a pidfd).
//
// Owned and used by the relay's one thread. A pid that was given to another
// process is told apart by its start time.
#ifndef INVACT_PLUGIN_RELAY_TRAINER_H_
#define INVACT_PLUGIN_RELAY_TRAINER_H_

#include <sys/types.h>

#include <cstdint>

namespace invact {

class Trainer {
 public:
  // started: clock ticks since boot, 0: not known. `use_pidfd` false takes the
  // way of kernels before 5.3, which reads /proc.
  Trainer(pid_t pid, uint64_t started, bool use_pidfd = true);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // All of its threads are gone. Once true, always true.
  bool gone();
  // Readable once it is gone; -1 where only /proc tells.
  int descriptor() const { return pidfd_; }
  // kLater: once its parent has waited for it. kNow: `*status` is as waitpid
  // gives it.
  enum class Told { kNever, kLater, kNow };
  Told AskStatus(int* status) const;

 private:
  bool AliveInProc() const;

  const pid_t pid_;
  const uint64_t started_;
  int pidfd_ = -1;
  bool gone_ = false;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_TRAINER_H_
