#include "daemon/cli/choose.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/analysis/step_choice.h"

namespace invact::cli {
namespace {

void SayRank(Shell& shell, const Selection& selection, const v1::Run& run,
             const char* which) {
  if (selection.rank || run.world_size() < 2 ||
      absl::StartsWith(run.id(), selection.run)) {
    return;
  }
  shell.output.Note(absl::StrCat("rank ", run.rank(), " of job ", run.job_id(),
                                 " (", run.world_size(), " ranks)", which,
                                 "; --rank N shows another"));
}

}  // namespace

void AddSelection(CLI::App* verb, Selection* selection) {
  verb->add_option("RUN", selection->run,
                   "Id or its beginning, name, job, @last (default)")
      ->type_name("");
  verb->add_option("--rank", selection->rank, "That rank of the job")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""))
      ->type_name("N");
}

absl::StatusOr<v1::Report> FetchReport(Shell& shell,
                                       const Selection& selection) {
  absl::StatusOr<StepChoice> step = ParseStepChoice(selection.step);
  if (!step.ok()) return step.status();
  absl::StatusOr<Client*> daemon = shell.Daemon();
  if (!daemon.ok()) return daemon.status();
  v1::GetReportRequest request;
  request.set_run(selection.run);
  if (selection.rank) request.set_rank(*selection.rank);
  request.set_step(selection.step);
  auto report = (*daemon)->Call(&Client::Stub::GetReport, request);
  if (report.ok()) {
    SayRank(shell, selection, report->run(),
            report->peak().has_allocated_bytes()
                ? ", the one with the highest peak"
                : ", the one that held most");
  }
  return report;
}

absl::StatusOr<v1::ListKernelsResponse> FetchKernels(
    Shell& shell, const Selection& selection) {
  absl::StatusOr<Client*> daemon = shell.Daemon();
  if (!daemon.ok()) return daemon.status();
  v1::ListKernelsRequest request;
  request.set_run(selection.run);
  if (selection.rank) request.set_rank(*selection.rank);
  auto kernels = (*daemon)->Call(&Client::Stub::ListKernels, request);
  if (kernels.ok()) SayRank(shell, selection, kernels->run(), "");
  return kernels;
}

}  // namespace invact::cli
