// invact doctor: what could keep a job from being recorded, and what repairs
// it.
#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/cli/doctor.h"
#include "daemon/cli/verbs.h"
#include "daemon/report/escape.h"
#include "daemon/report/table.h"

namespace invact::cli {
namespace {

std::string Text(const std::vector<DoctorCheck>& checks,
                 const TextStyle& style) {
  std::string out;
  for (const DoctorCheck& check : checks) {
    const Ink ink = check.status == "ok"     ? Ink::kGreen
                    : check.status == "warn" ? Ink::kYellow
                                             : Ink::kRed;
    absl::StrAppend(&out,
                    Paint(style, ink, absl::StrFormat("%-5s", check.status)),
                    absl::StrFormat("%-10s", check.name), " ",
                    EscapeLine(check.detail), "\n");
    if (!check.fix.empty()) {
      absl::StrAppend(&out, "                fix: ", EscapeLine(check.fix),
                      "\n");
    }
  }
  return out;
}

absl::StatusOr<int> Doctor(Shell& shell, const std::string& python) {
  std::vector<DoctorCheck> checks = CheckPaths(shell.environment);
  for (auto more :
       {CheckDaemon(shell), CheckJob(shell, python.empty() ? "python3" : python,
                                     !python.empty())}) {
    checks.insert(checks.end(), more.begin(), more.end());
  }
  shell.output.Data(shell.json ? DoctorToJson(checks)
                               : Text(checks, shell.output.style()));
  const bool failed = std::any_of(
      checks.begin(), checks.end(),
      [](const DoctorCheck& check) { return check.status == "fail"; });
  return failed ? kFailure : kOk;
}

}  // namespace

void AddDoctor(CLI::App& app, Shell& shell) {
  CLI::App* verb = app.add_subcommand(
      "doctor", "What keeps jobs from being recorded, with repairs");
  auto python = std::make_shared<std::string>();
  verb->add_option("--python", *python, "The job's Python (default: python3)")
      ->type_name("PATH");
  verb->callback([&shell, python] {
    shell.action = [&shell, python] { return Doctor(shell, *python); };
  });
}

}  // namespace invact::cli
