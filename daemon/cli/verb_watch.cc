// invact watch: follows a run until it ends.
#include <memory>

#include "absl/strings/str_cat.h"
#include "daemon/cli/choose.h"
#include "daemon/cli/step_json.h"
#include "daemon/cli/verbs.h"
#include "daemon/report/escape.h"
#include "daemon/report/units.h"

namespace invact::cli {
namespace {

std::string JsonLine(const v1::WatchRunResponse& news) {
  Json out;
  out["schema"] = "invact.watch/v1";
  out["run"] = RunFields(news.run());
  out["step"] = news.has_step() ? StepFields(news.step()) : Json();
  return DumpLine(out);
}

std::string StepLine(const v1::WatchRunResponse& news) {
  const v1::StepTotals& step = news.step();
  const int64_t eliminated = step.baseline_bytes() - step.held_bytes();
  std::string out = absl::StrCat("step ", step.index(),
                                 step.complete() ? "" : " (incomplete)");
  absl::StrAppend(&out, "  saved ", Bytes(eliminated), " of ",
                  Bytes(step.baseline_bytes()));
  if (step.baseline_bytes() > 0) {
    absl::StrAppend(&out, " (",
                    Change(-static_cast<double>(eliminated) /
                           static_cast<double>(step.baseline_bytes())),
                    ")");
  }
  if (step.has_peak_allocated_bytes()) {
    absl::StrAppend(&out, "  peak ", Bytes(step.peak_allocated_bytes()));
  }
  if (const auto seconds = StepSeconds(step)) {
    absl::StrAppend(&out, "  ", Seconds(*seconds));
  }
  return out + "  (measured)";
}

std::string EndLine(const v1::Run& run) {
  std::string how = run.end_reason();
  if (run.has_signal()) {
    how = absl::StrCat("signal ", run.signal());
  } else if (run.has_exit_code()) {
    how = absl::StrCat("exit code ", run.exit_code());
  }
  return absl::StrCat("run ", run.id().substr(0, 4), " ", run.state(),
                      how.empty() ? "" : absl::StrCat(" (", how, ")"),
                      " after ", Count(run.steps(), "step", "steps"));
}

// Writes what is new; false: nobody reads any more.
bool Show(Shell& shell, const v1::WatchRunResponse& news, int64_t* shown_step) {
  if (shell.json) return shell.output.Data(JsonLine(news));
  Output& out = shell.output;
  const bool ended = news.run().state() != "running";
  bool reads = true;
  if (news.has_step() && news.step().index() != *shown_step) {
    *shown_step = news.step().index();
    const std::string line = StepLine(news);
    reads = out.terminal() ? out.Redraw(line) : out.Data(line + "\n");
  } else if (*shown_step < 0 && !ended) {
    const std::string line =
        absl::StrCat("run ", news.run().id().substr(0, 4), " (",
                     EscapeLine(news.run().name()), ") before its first step");
    reads = out.terminal() ? out.Redraw(line) : out.Data(line + "\n");
  }
  if (!ended) return reads;
  return out.Data(
      absl::StrCat(out.terminal() ? "\n" : "", EndLine(news.run()), "\n"));
}

absl::StatusOr<int> Watch(Shell& shell, const Selection& selection) {
  absl::StatusOr<Client*> daemon = shell.Daemon();
  if (!daemon.ok()) return daemon.status();
  v1::WatchRunRequest request;
  request.set_run(selection.run);
  if (selection.rank) request.set_rank(*selection.rank);
  int64_t shown_step = -1;
  absl::Status status =
      (*daemon)->Watch(request, [&](const v1::WatchRunResponse& news) {
        return Show(shell, news, &shown_step);
      });
  if (!status.ok()) {
    if (shell.output.terminal() && shown_step >= 0) shell.output.Data("\n");
    return status;
  }
  return kOk;
}

}  // namespace

void AddWatch(CLI::App& app, Shell& shell) {
  CLI::App* verb =
      app.add_subcommand("watch", "Follow a run, step by step, to its end");
  auto selection = std::make_shared<Selection>();
  AddSelection(verb, selection.get());
  verb->callback([&shell, selection] {
    shell.action = [&shell, selection] { return Watch(shell, *selection); };
  });
}

}  // namespace invact::cli
