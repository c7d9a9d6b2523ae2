// invact rm: removes runs and all that was stored of them.
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "daemon/cli/verbs.h"
#include "daemon/report/json_parts.h"
#include "daemon/report/units.h"

namespace invact::cli {
namespace {

struct RmFlags {
  std::vector<std::string> runs;
  bool all = false;
  bool yes = false;
};

// Asks on the terminal; an answer but y or yes is a no.
bool Confirmed(int64_t runs) {
  std::fprintf(stderr, "invact: remove all %s? [y/N] ",
               Count(runs, "run", "runs").c_str());
  char answer[16];
  if (std::fgets(answer, sizeof(answer), stdin) == nullptr) return false;
  return answer[0] == 'y' || answer[0] == 'Y';
}

absl::StatusOr<int> Rm(Shell& shell, const RmFlags& flags) {
  if (flags.all != flags.runs.empty()) {
    return absl::InvalidArgumentError(
        "name the runs to remove, or --all: one of both");
  }
  const bool ask = flags.all && !flags.yes;
  if (ask && (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1)) {
    return absl::InvalidArgumentError(
        "rm --all removes every stored run; confirm with --yes");
  }
  absl::StatusOr<Client*> daemon = shell.Daemon();
  if (!daemon.ok()) return daemon.status();
  if (ask && !Confirmed((*daemon)->daemon().runs())) {
    shell.output.Note("nothing was removed");
    return kFailure;
  }
  v1::DeleteRunsRequest request;
  request.set_all(flags.all);
  for (const std::string& run : flags.runs) request.add_runs(run);
  auto response = (*daemon)->Call(&Client::Stub::DeleteRuns, request);
  if (!response.ok()) return response.status();
  if (shell.json) {
    Json out;
    out["schema"] = "invact.rm/v1";
    out["deleted"] = response->deleted();
    shell.output.Data(Dump(out));
  } else {
    shell.output.Note(
        absl::StrCat("removed ", Count(response->deleted(), "run", "runs")));
  }
  return kOk;
}

}  // namespace

void AddRm(CLI::App& app, Shell& shell) {
  CLI::App* verb =
      app.add_subcommand("rm", "Remove runs; a job's id removes all its ranks");
  auto flags = std::make_shared<RmFlags>();
  verb->add_option("RUN", flags->runs, "What to remove")->type_name("");
  verb->add_flag("--all", flags->all, "Every stored run");
  verb->add_flag("--yes", flags->yes, "Don't ask");
  verb->callback([&shell, flags] {
    shell.action = [&shell, flags] { return Rm(shell, *flags); };
  });
}

}  // namespace invact::cli
