// invact report: what a run saved, and what was eliminated of it.
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/analysis/step_choice.h"
#include "daemon/cli/choose.h"
#include "daemon/cli/verbs.h"
#include "daemon/report/report_csv.h"
#include "daemon/report/report_json.h"
#include "daemon/report/report_markdown.h"
#include "daemon/report/report_text.h"

namespace invact::cli {
namespace {

struct ReportFlags {
  Selection selection;
  std::string format;
  bool all = false;
};

absl::StatusOr<std::string> Format(const Shell& shell,
                                   const ReportFlags& flags) {
  if (flags.format == "html") {
    return absl::InvalidArgumentError(
        "--format html is not in this version; there are text, json, csv, md");
  }
  if (!shell.json) return flags.format.empty() ? "text" : flags.format;
  if (flags.format.empty() || flags.format == "json") return "json";
  return absl::InvalidArgumentError(
      absl::StrCat("--json and --format ", flags.format, " contradict"));
}

absl::StatusOr<int> Report(Shell& shell, const ReportFlags& flags) {
  absl::StatusOr<std::string> format = Format(shell, flags);
  if (!format.ok()) return format.status();
  absl::StatusOr<v1::Report> report = FetchReport(shell, flags.selection);
  if (!report.ok()) return report.status();
  if (*format == "json") {
    shell.output.Data(ReportToJson(*report));
  } else if (*format == "csv") {
    shell.output.Data(ReportToCsv(*report));
  } else if (*format == "md") {
    shell.output.Data(ReportToMarkdown(*report));
  } else {
    TextStyle style = shell.output.style();
    style.all = flags.all;
    shell.output.Data(ReportToText(*report, style));
  }
  return kOk;
}

}  // namespace

void AddReport(CLI::App& app, Shell& shell) {
  CLI::App* verb =
      app.add_subcommand("report", "What a run saved, and what was eliminated");
  auto flags = std::make_shared<ReportFlags>();
  AddSelection(verb, &flags->selection);
  verb->add_option("--step", flags->selection.step,
                   "last (default), max or a step's number")
      ->type_name("S");
  verb->add_option("--format", flags->format, "text (default), json, csv, md")
      ->check(
          CLI::IsMember({"text", "json", "csv", "md", "html"}).description(""))
      ->type_name("F");
  verb->add_flag("--all", flags->all, "Text: each call site on its own line");
  verb->callback([&shell, flags] {
    shell.action = [&shell, flags] { return Report(shell, *flags); };
  });
}

}  // namespace invact::cli
