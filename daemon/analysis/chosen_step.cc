#include "daemon/analysis/chosen_step.h"

#include <algorithm>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace invact {
namespace {

ChosenStep FromTable(const v1::SiteTable& table) {
  return {&table.totals(), &table};
}

// Newest of the steps, complete ones before incomplete ones.
const v1::StepTotals* NewestStep(const StoredRun& run) {
  const v1::StepTotals* newest = nullptr;
  for (const v1::StepTotals& step : run.steps) {
    if (newest == nullptr || step.complete() > newest->complete() ||
        (step.complete() == newest->complete() &&
         step.index() >= newest->index())) {
      newest = &step;
    }
  }
  return newest;
}

absl::StatusOr<ChosenStep> LastStep(const StoredRun& run) {
  if (run.last_step) return FromTable(*run.last_step);
  const v1::StepTotals* newest = NewestStep(run);
  if (newest != nullptr && newest->complete()) {
    return ChosenStep{newest, nullptr};
  }
  if (run.live) return FromTable(*run.live);
  if (newest != nullptr) return ChosenStep{newest, nullptr};
  return absl::FailedPreconditionError(
      absl::StrCat("nothing of run ", run.run.id(),
                   " is stored yet: its first step has not reached the daemon",
                   run.run.state() == "running" ? "; ask again in a moment"
                                                : ", and the run is over"));
}

}  // namespace

const v1::StepTotals* LargestStep(const StoredRun& run) {
  const v1::StepTotals* largest = nullptr;
  const auto consider = [&](const v1::StepTotals& step) {
    if (step.complete() &&
        (largest == nullptr ||
         step.baseline_bytes() > largest->baseline_bytes())) {
      largest = &step;
    }
  };
  if (run.max_step) consider(run.max_step->totals());
  if (run.last_step) consider(run.last_step->totals());
  for (const v1::StepTotals& step : run.steps) consider(step);
  return largest;
}

absl::StatusOr<ChosenStep> FindStep(const StoredRun& run,
                                    const StepChoice& choice) {
  if (choice.kind == StepChoice::Kind::kLast) return LastStep(run);
  int64_t index = choice.index;
  if (choice.kind == StepChoice::Kind::kMax) {
    const v1::StepTotals* largest = LargestStep(run);
    if (largest == nullptr) return LastStep(run);
    index = largest->index();
  }
  for (const auto* table : {&run.last_step, &run.max_step, &run.live}) {
    if (*table && (*table)->totals().index() == index) {
      return FromTable(**table);
    }
  }
  for (const v1::StepTotals& step : run.steps) {
    if (step.index() == index) return ChosenStep{&step, nullptr};
  }
  auto last = LastStep(run);
  if (!last.ok()) return last.status();
  int64_t first_index = last->totals->index(), last_index = first_index;
  for (const v1::StepTotals& step : run.steps) {
    first_index = std::min(first_index, step.index());
    last_index = std::max(last_index, step.index());
  }
  return absl::NotFoundError(absl::StrCat(
      "step ", index, " of run ", run.run.id(), " is not stored; stored: ",
      first_index, " to ", last_index, " (or last, max)"));
}

}  // namespace invact
