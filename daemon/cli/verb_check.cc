// invact check: does a run keep its limits? For CI.
#include <memory>

#include "absl/strings/str_cat.h"
#include "daemon/cli/choose.h"
#include "daemon/cli/values.h"
#include "daemon/cli/verbs.h"
#include "daemon/report/check.h"

namespace invact::cli {
namespace {

struct CheckFlags {
  Selection selection;
  std::string max_saved, max_peak, min_eliminated, baseline, tolerance;
};

absl::StatusOr<CheckLimits> Limits(const CheckFlags& flags) {
  CheckLimits out;
  if (!flags.max_saved.empty()) {
    auto bytes = ParseSize("--max-saved", flags.max_saved);
    if (!bytes.ok()) return bytes.status();
    out.max_saved = *bytes;
  }
  if (!flags.max_peak.empty()) {
    auto bytes = ParseSize("--max-peak", flags.max_peak);
    if (!bytes.ok()) return bytes.status();
    out.max_peak = *bytes;
  }
  if (!flags.min_eliminated.empty()) {
    auto percent = ParsePercent("--min-eliminated", flags.min_eliminated);
    if (!percent.ok()) return percent.status();
    out.min_eliminated_pct = *percent;
  }
  if (!flags.tolerance.empty()) {
    auto percent = ParsePercent("--tolerance", flags.tolerance);
    if (!percent.ok()) return percent.status();
    if (*percent < 0 || flags.baseline.empty()) {
      return absl::InvalidArgumentError(
          "--tolerance is a percentage of 0 or more beside --baseline RUN");
    }
    out.tolerance_pct = *percent;
  }
  if (!out.max_saved && !out.max_peak && !out.min_eliminated_pct &&
      flags.baseline.empty()) {
    return absl::InvalidArgumentError(
        "no limit to check; give --max-saved, --max-peak, --min-eliminated or "
        "--baseline");
  }
  return out;
}

absl::StatusOr<int> Check(Shell& shell, const CheckFlags& flags) {
  absl::StatusOr<CheckLimits> limits = Limits(flags);
  if (!limits.ok()) return limits.status();
  absl::StatusOr<v1::Report> report = FetchReport(shell, flags.selection);
  if (!report.ok()) return report.status();
  absl::StatusOr<v1::Report> baseline;
  if (!flags.baseline.empty()) {
    Selection selection;
    selection.run = flags.baseline;
    baseline = FetchReport(shell, selection);
    if (!baseline.ok()) return baseline.status();
    limits->baseline = &*baseline;
  }
  const std::vector<CheckVerdict> verdicts = CheckReport(*report, *limits);
  shell.output.Data(shell.json ? CheckToJson(*report, verdicts)
                               : CheckToText(verdicts, shell.output.style()));
  return AllPassed(verdicts) ? kOk : kCheckFailed;
}

}  // namespace

void AddCheck(CLI::App& app, Shell& shell) {
  CLI::App* verb =
      app.add_subcommand("check", "Exit 4 unless a run keeps all given limits");
  auto flags = std::make_shared<CheckFlags>();
  AddSelection(verb, &flags->selection);
  verb->add_option("--max-saved", flags->max_saved,
                   "Bytes held for backward at most: 3GiB")
      ->type_name("B");
  verb->add_option("--max-peak", flags->max_peak,
                   "Bytes that torch allocates at its peak at most")
      ->type_name("B");
  verb->add_option("--min-eliminated", flags->min_eliminated,
                   "Per cent of the baseline eliminated at least")
      ->type_name("PCT");
  verb->add_option("--baseline", flags->baseline,
                   "A run whose saved bytes and peak are the limit")
      ->type_name("RUN");
  verb->add_option("--tolerance", flags->tolerance,
                   "Per cent by which it may be exceeded (0)")
      ->type_name("PCT");
  verb->callback([&shell, flags] {
    shell.action = [&shell, flags] { return Check(shell, *flags); };
  });
}

}  // namespace invact::cli
