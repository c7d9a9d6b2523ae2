// The first sentence of a report.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/report/escape.h"
#include "daemon/report/report_facts.h"
#include "daemon/report/report_text.h"
#include "daemon/report/units.h"
#include "proto/codes.h"

namespace invact {
namespace {

std::string OutOfMemorySentence(const v1::OutOfMemory& oom) {
  std::string out = absl::StrCat(
      "Out of memory ", oom.phase() == "done" ? "after the end" : "in ",
      oom.phase() == "done" ? "" : oom.phase(), " of step ", oom.step_index());
  if (!oom.layer().empty()) {
    absl::StrAppend(&out, " at `", EscapeLine(oom.layer()), "`");
  }
  if (oom.requested_bytes() > 0) {
    absl::StrAppend(&out, ", asking for ", Bytes(oom.requested_bytes()));
  }
  return absl::StrCat(out, "; saved so far ", Bytes(oom.saved_bytes()), ".");
}

// " at +29 % time", where known.
std::string AtTime(const v1::Checkpoint& checkpoint) {
  return checkpoint.has_extra_time_fraction()
             ? absl::StrCat(" at ", Change(checkpoint.extra_time_fraction()),
                            " time")
             : "";
}

// "full checkpointing would hold 1.2 GiB at +29 % time (modelled)"; "" where
// it is not known.
std::string CheckpointClause(const v1::Checkpoint& checkpoint) {
  if (!checkpoint.has_held_bytes()) return "";
  if (checkpoint.source() == "measured") {
    return "checkpointed blocks are computed again in backward (measured)";
  }
  return absl::StrCat("full checkpointing would hold ",
                      Bytes(checkpoint.held_bytes()), AtTime(checkpoint), " (",
                      checkpoint.source(), ")");
}

// What a step that was not completed saved is no step's figure.
std::string SoFar(const v1::Report& report) {
  if (report.step().complete()) return "";
  return absl::StrCat(" so far in step ", report.step().index(),
                      ", which was not completed");
}

std::string NextFor(const v1::Report& report, const std::string& reason) {
  if (reason == Name(Reason::kKernelMissing)) return "invact doctor";
  if (reason == Name(Reason::kCalibrationFailed)) {
    return "invact kernels " + ShortId(report.run());
  }
  if (reason == Name(Reason::kInCheckpointRegion)) {
    return "keep the job's own checkpointing, or take it out and measure both";
  }
  if (reason == Name(Reason::kCompiledGraph)) {
    return "run the job without torch.compile";
  }
  if (reason == Name(Reason::kUserExcluded)) {
    return "unset INVACT_EXCLUDE";
  }
  return absl::StrCat("invact report ", ShortId(report.run()), " --all");
}

// Where the policy found nothing of its kind.
std::string NothingToDo(const std::string& policy) {
  if (policy == "checkpoint") {
    return "no block was called that could be checkpointed";
  }
  if (policy == "rebuild") {
    return "nothing was saved that could be made again from fewer bytes";
  }
  if (policy == "auto") {
    return "nothing was saved that could be inverted, or made again from fewer "
           "bytes";
  }
  return "no call of GELU or SiLU was seen that could be inverted";
}

// Why nothing was eliminated, and the command that helps.
std::string WhyNothing(const v1::Report& report) {
  const std::string& policy = report.run().policy();
  if (policy == "observe" || policy == "none") {
    return absl::StrCat("policy ", policy,
                        " changes nothing; next: invact run --policy invert "
                        "-- COMMAND");
  }
  if (report.saved().by_action().empty()) {
    return absl::StrCat("of step ", report.step().index(),
                        " no layers are stored; next: invact report ",
                        ShortId(report.run()));
  }
  if (policy == "invert" && report.run().exact()) {
    return "exact gradients leave policy invert nothing to do; next: invact "
           "run --policy rebuild -- COMMAND";
  }
  if (report.declines().empty()) {
    const bool tried = std::any_of(
        report.layers().begin(), report.layers().end(),
        [](const v1::Layer& layer) { return layer.action() != "keep"; });
    return absl::StrCat(
        tried ? "what was substituted gained nothing in this step"
              : NothingToDo(policy),
        "; next: invact report ", ShortId(report.run()), " --all");
  }
  const v1::Decline& largest = report.declines(0);
  return absl::StrCat("the largest reason is ", EscapeLine(largest.reason()),
                      " (", Count(largest.sites(), "site", "sites"), ", ",
                      Bytes(largest.bytes()),
                      "); next: ", NextFor(report, largest.reason()));
}

std::string NothingSentence(const v1::Report& report) {
  const v1::Saved& saved = report.saved();
  std::string out;
  if (saved.eliminated_bytes() < 0) {
    out = absl::StrCat("Nothing was eliminated: ", Bytes(saved.held_bytes()),
                       " are held where plain PyTorch would hold ",
                       Bytes(saved.baseline_bytes()), " (measured)",
                       SoFar(report), ": ");
  } else {
    out = absl::StrCat("Nothing was eliminated of ",
                       Bytes(saved.baseline_bytes()),
                       " of activations (measured)", SoFar(report), ": ");
  }
  absl::StrAppend(&out, WhyNothing(report), ".");
  std::string clause = CheckpointClause(report.checkpoint());
  if (clause.empty()) return out;
  clause[0] = 'F';
  return absl::StrCat(out, " ", clause, ".");
}

}  // namespace

std::string ReportSentence(const v1::Report& report) {
  if (report.has_out_of_memory()) {
    return OutOfMemorySentence(report.out_of_memory());
  }
  const v1::Saved& saved = report.saved();
  if (saved.eliminated_bytes() <= 0) return NothingSentence(report);
  std::string out =
      absl::StrCat("Saved ", Bytes(saved.eliminated_bytes()), " of ",
                   Bytes(saved.baseline_bytes()), " of activations (",
                   Change(-saved.eliminated_fraction()), ")", SoFar(report));
  if (const auto change = PeakChange(report.peak())) {
    absl::StrAppend(&out, ", peak ", Change(*change));
  }
  const std::string clause = CheckpointClause(report.checkpoint());
  if (!clause.empty()) absl::StrAppend(&out, "; ", clause);
  return out + ".";
}

}  // namespace invact
