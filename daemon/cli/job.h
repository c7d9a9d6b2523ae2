// What `invact run` can learn of its job from outside: its id, its relays, and
// what its processes have loaded.
#ifndef INVACT_DAEMON_CLI_JOB_H_
#define INVACT_DAEMON_CLI_JOB_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "daemon/cli/options.h"

namespace invact::cli {

// The id that the plugin will find in the job's environment.
struct JobId {
  std::string id;
  // To be set for the job: nothing else names it.
  bool set = false;
  // KEY=VALUE that every process of the job has, its relays too.
  std::vector<std::string> marks;
};

// INVACT_JOB_ID, SLURM's, torchrun's from around or from `--rdzv-id` in the
// command (its nodes agree on it); else a new random one.
JobId ChooseJobId(const Environment& environment,
                  const std::vector<std::string>& command);

// Relays of this user that carry the marks: while one lives, something of the
// job is on its way. Those in other PID namespaces are not seen.
std::vector<pid_t> RelaysOf(const std::vector<std::string>& marks);

// Looks now and then at what a process and its descendants have mapped.
class Sightings {
 public:
  void Look(pid_t root);

  bool libtorch() const { return libtorch_; }    // some process loaded torch
  bool libinvact() const { return libinvact_; }  // some process got the preload
  // Some process loaded torch without libinvact.so: LD_PRELOAD was lost.
  bool lost() const { return lost_; }

 private:
  void LookAt(pid_t pid, int depth);
  bool libtorch_ = false, libinvact_ = false, lost_ = false;
};

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_JOB_H_
