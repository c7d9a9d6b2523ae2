// invact diff: what differs between runs.
#include <memory>

#include "daemon/cli/verbs.h"
#include "daemon/report/diff.h"

namespace invact::cli {
namespace {

absl::StatusOr<int> Diff(Shell& shell, const std::vector<std::string>& runs) {
  if (runs.size() < 2) {
    return absl::InvalidArgumentError(
        "diff compares two runs or more: invact diff A B");
  }
  absl::StatusOr<Client*> daemon = shell.Daemon();
  if (!daemon.ok()) return daemon.status();
  v1::CompareRunsRequest request;
  for (const std::string& run : runs) request.add_runs(run);
  auto response = (*daemon)->Call(&Client::Stub::CompareRuns, request);
  if (!response.ok()) return response.status();
  const std::vector<v1::Report> reports(response->reports().begin(),
                                        response->reports().end());
  shell.output.Data(shell.json ? DiffToJson(reports)
                               : DiffToText(reports, shell.output.style()));
  return kOk;
}

}  // namespace

void AddDiff(CLI::App& app, Shell& shell) {
  CLI::App* verb = app.add_subcommand(
      "diff", "What differs between the first run and the others");
  auto runs = std::make_shared<std::vector<std::string>>();
  verb->add_option("RUN", *runs, "Two runs or more")->type_name("");
  verb->callback([&shell, runs] {
    shell.action = [&shell, runs] { return Diff(shell, *runs); };
  });
}

}  // namespace invact::cli
