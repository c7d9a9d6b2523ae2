// invact run: starts a job attached, and ends as the job ends.
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/cli/after_run.h"
#include "daemon/cli/child.h"
#include "daemon/cli/job.h"
#include "daemon/cli/preload.h"
#include "daemon/cli/values.h"
#include "daemon/cli/verbs.h"

namespace invact::cli {
namespace {

struct RunFlags {
  std::optional<std::string> policy, budget;
  std::string plan, name;
  bool exact = false;
};

absl::Status Check(const RunFlags& flags, const Shell& shell) {
  if (shell.command.empty()) {
    return absl::InvalidArgumentError(
        "no command to run; write: invact run -- python train.py");
  }
  const std::string policy = flags.policy.value_or(shell.environment.policy);
  if (flags.policy || !policy.empty()) {
    const absl::Status status = CheckPolicy(policy);
    if (!status.ok()) return status;
  }
  const absl::Status bits = CheckBits(
      flags.exact || shell.environment.exact == "1", shell.environment.bits);
  if (!bits.ok()) return bits;
  if (flags.budget) {
    auto bytes = ParseSize("--budget", *flags.budget);
    if (!bytes.ok()) return bytes.status();
  }
  // A path, not an id: it has to be there.
  if (absl::StrContains(flags.plan, "/") &&
      access(flags.plan.c_str(), R_OK) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--plan ", flags.plan, " can't be read: ", strerror(errno)));
  }
  return absl::OkStatus();
}

void Set(std::vector<std::string>* variables, const std::string& key,
         const std::string& value) {
  if (value.empty()) return;
  const std::string start = key + "=";
  variables->erase(std::remove_if(variables->begin(), variables->end(),
                                  [&start](const std::string& entry) {
                                    return absl::StartsWith(entry, start);
                                  }),
                   variables->end());
  variables->push_back(start + value);
}

std::vector<std::string> JobEnvironment(const Shell& shell,
                                        const RunFlags& flags, const JobId& job,
                                        const std::string& preload) {
  std::vector<std::string> out = shell.environment.all;
  Set(&out, "LD_PRELOAD", preload);
  Set(&out, "INVACT_POLICY", flags.policy.value_or(""));
  Set(&out, "INVACT_EXACT", flags.exact ? "1" : "");
  Set(&out, "INVACT_BUDGET", flags.budget.value_or(""));
  Set(&out, "INVACT_PLAN", flags.plan);
  Set(&out, "INVACT_RUN_NAME", flags.name);
  if (job.set) Set(&out, "INVACT_JOB_ID", job.id);
  return out;
}

// Own failure before start: 125 whatever it was.
int Refuse(Shell& shell, const absl::Status& status) {
  shell.Complain(status);
  return kOwnFailure;
}

absl::StatusOr<int> Run(Shell& shell, const RunFlags& flags) {
  absl::Status valid = Check(flags, shell);
  if (!valid.ok()) return valid;
  absl::StatusOr<std::string> preload =
      WithLibrary(shell.install, shell.environment.preload);
  if (!preload.ok()) return Refuse(shell, preload.status());

  const SignalGate gate;
  // Without a daemon the job runs all the same: its relay spools.
  absl::StatusOr<Client*> daemon = shell.Daemon();
  if (!daemon.ok()) {
    shell.output.Note(absl::StrCat(
        daemon.status().message(),
        " (the job runs; what it records is spooled until a daemon comes)"));
  }
  const JobId job = ChooseJobId(shell.environment, shell.command);
  JobFacts facts;
  facts.job = job;
  facts.command = shell.command;
  facts.policy = flags.policy.value_or(shell.environment.policy);
  facts.said_no_daemon = !daemon.ok();
  facts.began = absl::Now();
  facts.end =
      RunChild(gate, shell.command, JobEnvironment(shell, flags, job, *preload),
               [&facts](pid_t pid) { facts.sightings.Look(pid); });
  if (facts.end.start_error != 0) {
    const int error = facts.end.start_error;
    shell.Complain(absl::InternalError(
        absl::StrCat("cannot run ", shell.command[0], ": ", strerror(error))));
    if (!facts.end.forked) return kOwnFailure;
    return error == ENOENT ? kNoCommand : kNotExecutable;
  }
  AfterRun(shell, gate, facts);
  if (facts.end.signal != 0) {
    DieBy(facts.end.signal);
    return 128 + facts.end.signal;
  }
  return facts.end.exit_code;
}

}  // namespace

void AddRun(CLI::App& app, Shell& shell) {
  CLI::App* verb =
      app.add_subcommand("run", "Run a job attached: invact run -- CMD...");
  auto flags = std::make_shared<RunFlags>();
  verb->add_option("--policy", flags->policy,
                   "observe, invert (default), rebuild, checkpoint,\n"
                   "                              auto, none")
      ->type_name("P");
  verb->add_flag("--exact", flags->exact,
                 "Only what leaves gradients bit-equal");
  verb->add_option("--budget", flags->budget,
                   "Torch's peak of each rank at most: 40GiB")
      ->type_name("B");
  verb->add_option("--plan", flags->plan, "A plan's id or file")
      ->type_name("ID");
  verb->add_option("--name", flags->name,
                   "The run's name (default: the script's)")
      ->type_name("N");
  verb->footer(
      "Ends with the command's exit code or by its signal; 126: it is not\n"
      "executable, 127: it was not found, 125: invact failed before its "
      "start.");
  verb->callback([&shell, flags] {
    shell.action = [&shell, flags] { return Run(shell, *flags); };
  });
}

}  // namespace invact::cli
