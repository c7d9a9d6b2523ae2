#include "daemon/cli/options.h"

#include <unistd.h>

#include <cstdlib>

#include "absl/strings/numbers.h"

extern char** environ;

namespace invact::cli {
namespace {

std::string Env(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

Environment ReadEnvironment() {
  Environment out;
  out.paths.invact_daemon = Env("INVACT_DAEMON");
  out.paths.invact_state_dir = Env("INVACT_STATE_DIR");
  out.paths.invact_spool_dir = Env("INVACT_SPOOL_DIR");
  out.paths.xdg_state_home = Env("XDG_STATE_HOME");
  out.paths.xdg_runtime_dir = Env("XDG_RUNTIME_DIR");
  out.paths.home = Env("HOME");
  out.paths.tmpdir = Env("TMPDIR");
  out.paths.uid = geteuid();
  out.token_file = Env("INVACT_TOKEN_FILE");
  out.policy = Env("INVACT_POLICY");
  out.exact = Env("INVACT_EXACT");
  out.bits = Env("INVACT_BITS");
  out.disable = Env("INVACT_DISABLE");
  out.preload = Env("LD_PRELOAD");
  out.job_id = Env("INVACT_JOB_ID");
  out.slurm_job = Env("SLURM_JOB_ID");
  out.slurm_step = Env("SLURM_STEP_ID");
  out.elastic_run = Env("TORCHELASTIC_RUN_ID");
  out.path = Env("PATH");
  out.term = Env("TERM");
  if (!absl::SimpleAtoi(Env("COLUMNS"), &out.columns) || out.columns < 0) {
    out.columns = 0;
  }
  out.no_color = !Env("NO_COLOR").empty();
  for (char** entry = environ; entry && *entry; ++entry) {
    out.all.push_back(*entry);
  }
  return out;
}

}  // namespace invact::cli
