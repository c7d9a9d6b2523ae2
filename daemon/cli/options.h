// What the command line reads from the environment: once, here; nothing else
// in daemon/cli does. Where files are is told by proto/paths.h.
#ifndef INVACT_DAEMON_CLI_OPTIONS_H_
#define INVACT_DAEMON_CLI_OPTIONS_H_

#include <string>
#include <vector>

#include "proto/paths.h"

namespace invact::cli {

// Values of the variables of these names; empty: not set.
struct Environment {
  PathEnvironment paths;
  std::string token_file;        // INVACT_TOKEN_FILE
  std::string policy;            // INVACT_POLICY
  std::string exact;             // INVACT_EXACT
  std::string bits;              // INVACT_BITS
  std::string disable;           // INVACT_DISABLE
  std::string preload;           // LD_PRELOAD
  std::string job_id;            // INVACT_JOB_ID
  std::string slurm_job;         // SLURM_JOB_ID
  std::string slurm_step;        // SLURM_STEP_ID
  std::string elastic_run;       // TORCHELASTIC_RUN_ID
  std::string path;              // PATH
  std::string term;              // TERM
  int columns = 0;               // COLUMNS; 0: ask the terminal
  bool no_color = false;         // NO_COLOR is set to anything
  std::vector<std::string> all;  // KEY=VALUE, as this process got them
};

Environment ReadEnvironment();

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_OPTIONS_H_
