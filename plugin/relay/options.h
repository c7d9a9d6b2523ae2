// What the relay was told: the environment that it inherits from the job, and
// its three arguments. Read once; nothing else in the relay reads either.
#ifndef INVACT_PLUGIN_RELAY_OPTIONS_H_
#define INVACT_PLUGIN_RELAY_OPTIONS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "proto/paths.h"

namespace invact {

struct RelayOptions {
  pid_t trainer = 0;
  int memfd = -1;
  uint64_t trainer_started = 0;  // clock ticks since boot, 0: not known

  std::vector<std::string> spool_dirs;  // tried in this order
  DaemonAddress daemon;
  std::string daemon_error;  // INVACT_DAEMON names no address: spool only
  std::string token_file;    // INVACT_TOKEN_FILE, sent over TCP only
};

// False unless the arguments are PID MEMFD START.
bool ReadRelayOptions(int argc, const char* const* argv, RelayOptions* out);

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_OPTIONS_H_
