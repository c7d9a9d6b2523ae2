// invact compare: one job under several policies, measured against each other.
#include <cmath>
#include <memory>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "daemon/cli/child.h"
#include "daemon/cli/compare_rounds.h"
#include "daemon/cli/values.h"
#include "daemon/cli/verbs.h"
#include "daemon/report/compare_formats.h"
#include "daemon/report/compare_text.h"
#include "daemon/store/private_dir.h"
#include "proto/paths.h"

namespace invact::cli {
namespace {

constexpr int kMostRounds = 100;

struct CompareFlags {
  std::string policies = "observe,invert";
  int rounds = 3;
  std::optional<double> timeout;
  std::string format, show, logs;
  bool list = false;
};

absl::StatusOr<std::string> Format(const Shell& shell,
                                   const CompareFlags& flags) {
  if (!shell.json) return flags.format.empty() ? "text" : flags.format;
  if (flags.format.empty() || flags.format == "json") return "json";
  return absl::InvalidArgumentError(
      absl::StrCat("--json and --format ", flags.format, " contradict"));
}

void Print(Shell& shell, const std::string& format,
           const v1::Comparison& comparison) {
  if (format == "json") {
    shell.output.Data(ComparisonToJson(comparison));
  } else if (format == "csv") {
    shell.output.Data(ComparisonToCsv(comparison));
  } else if (format == "md") {
    shell.output.Data(ComparisonToMarkdown(comparison));
  } else {
    shell.output.Data(ComparisonToText(comparison, shell.output.style()));
  }
}

absl::StatusOr<ComparePlan> PlanOf(const Shell& shell,
                                   const CompareFlags& flags) {
  if (shell.command.empty()) {
    return absl::InvalidArgumentError(
        "no command to run; write: invact compare --policies observe,invert "
        "-- python train.py");
  }
  ComparePlan plan;
  std::set<std::string> seen;
  const std::vector<std::string> policies = absl::StrSplit(flags.policies, ',');
  for (const std::string& policy : policies) {
    if (absl::Status status = CheckPolicy(policy); !status.ok()) return status;
    if (policy == "none") {
      return absl::InvalidArgumentError(
          "nothing is measured under policy none; give observe, which changes "
          "nothing either");
    }
    if (!seen.insert(policy).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("policy ", policy,
                       " is named twice; the rounds repeat "
                       "each one: --rounds N"));
    }
    plan.policies.push_back(policy);
  }
  if (flags.rounds < 1 || flags.rounds > kMostRounds) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rounds ", flags.rounds, " is not 1 to ", kMostRounds,
                     "; 3 or more give an interval worth reading"));
  }
  plan.rounds = flags.rounds;
  if (flags.timeout) {
    if (!std::isfinite(*flags.timeout) || *flags.timeout <= 0) {
      return absl::InvalidArgumentError(
          "--timeout is no number of seconds above 0");
    }
    plan.timeout = absl::Seconds(*flags.timeout);
  }
  plan.logs = flags.logs;
  if (plan.logs.empty()) {
    const std::string state = StateDir(shell.environment.paths);
    if (state.empty()) {
      return absl::InvalidArgumentError(
          "neither INVACT_STATE_DIR, XDG_STATE_HOME nor HOME is set; name a "
          "folder for the output of the runs by --logs");
    }
    const std::string folder = state + "/compare";
    if (absl::Status made = EnsurePrivateDir(folder); !made.ok()) return made;
    plan.logs = absl::StrCat(
        folder, "/",
        absl::FormatTime("%Y%m%dT%H%M%E3S", absl::Now(), absl::UTCTimeZone()));
  }
  return plan;
}

absl::StatusOr<int> Show(Shell& shell, const CompareFlags& flags,
                         const std::string& format) {
  absl::StatusOr<Client*> daemon = shell.Daemon();
  if (!daemon.ok()) return daemon.status();
  v1::GetComparisonRequest request;
  request.set_comparison(flags.show);
  auto comparison = (*daemon)->Call(&Client::Stub::GetComparison, request);
  if (!comparison.ok()) return comparison.status();
  Print(shell, format, *comparison);
  return kOk;
}

absl::StatusOr<int> List(Shell& shell, const std::string& format) {
  if (format != "text" && format != "json") {
    return absl::InvalidArgumentError("--list prints text or json");
  }
  absl::StatusOr<Client*> daemon = shell.Daemon();
  if (!daemon.ok()) return daemon.status();
  std::vector<v1::Comparison> all;
  v1::ListComparisonsRequest request;
  do {
    auto page = (*daemon)->Call(&Client::Stub::ListComparisons, request);
    if (!page.ok()) return page.status();
    all.insert(all.end(), page->comparisons().begin(),
               page->comparisons().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  shell.output.Data(format == "json"
                        ? ComparisonsToJson(all)
                        : ComparisonsToText(all, shell.output.style()));
  return kOk;
}

absl::StatusOr<int> Compare(Shell& shell, const CompareFlags& flags) {
  absl::StatusOr<std::string> format = Format(shell, flags);
  if (!format.ok()) return format.status();
  if (flags.list || !flags.show.empty()) {
    if (!shell.command.empty() || (flags.list && !flags.show.empty())) {
      return absl::InvalidArgumentError(
          "--show and --list print what is stored and run nothing: give one "
          "of them, or a command");
    }
    return flags.list ? List(shell, *format) : Show(shell, flags, *format);
  }
  absl::StatusOr<ComparePlan> plan = PlanOf(shell, flags);
  if (!plan.ok()) return plan.status();
  int interrupted_by = 0;
  auto comparison = RunComparison(shell, *plan, &interrupted_by);
  if (!comparison.ok()) return comparison.status();
  if (!*comparison) {
    shell.output.Progress("");
    shell.output.Note(absl::StrCat(
        "the comparison was ended by a signal and is not stored; the output of "
        "the job is in ",
        plan->logs));
    DieBy(interrupted_by);
    return 128 + interrupted_by;
  }
  Print(shell, *format, **comparison);
  shell.output.Note(
      absl::StrCat("the output of the job is in ", plan->logs,
                   "; see this again with: invact compare --show ",
                   (*comparison)->id().substr(0, 8)));
  return kOk;
}

}  // namespace

void AddCompare(CLI::App& app, Shell& shell) {
  CLI::App* verb = app.add_subcommand(
      "compare", "Measure a job under several policies, side by side");
  auto flags = std::make_shared<CompareFlags>();
  verb->add_option("--policies", flags->policies,
                   "By commas (default: observe,invert); the\n"
                   "                              first is the reference")
      ->type_name("P");
  verb->add_option("--rounds", flags->rounds,
                   "Runs of each policy (default: 3)")
      ->type_name("N");
  verb->add_option("--timeout", flags->timeout,
                   "Seconds after which a run is ended")
      ->type_name("S");
  verb->add_option("--logs", flags->logs, "Folder for the output of the runs")
      ->type_name("DIR");
  verb->add_option("--format", flags->format, "text (default), json, csv, md")
      ->check(CLI::IsMember({"text", "json", "csv", "md"}).description(""))
      ->type_name("F");
  verb->add_option("--show", flags->show,
                   "A stored comparison again: its id, @last")
      ->type_name("ID");
  verb->add_flag("--list", flags->list, "The stored comparisons");
  verb->footer(
      "Each run finds INVACT_COMPARE_POLICY and INVACT_COMPARE_ROUND (from 1)\n"
      "in its environment, to write into a folder of its own. A policy that\n"
      "fails, takes too long or runs out of memory is a line of the table.");
  verb->callback([&shell, flags] {
    shell.action = [&shell, flags] { return Compare(shell, *flags); };
  });
}

}  // namespace invact::cli
