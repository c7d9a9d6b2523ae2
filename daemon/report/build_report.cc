#include "daemon/report/build_report.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/analysis/checkpoint_model.h"
#include "daemon/analysis/chosen_step.h"
#include "daemon/analysis/declines.h"
#include "daemon/analysis/layers.h"
#include "daemon/analysis/timing.h"
#include "daemon/report/report_json.h"
#include "daemon/report/report_warnings.h"
#include "proto/codes.h"

namespace invact {
namespace {

void FillSaved(const v1::StepTotals& totals, v1::Saved* saved) {
  saved->set_baseline_bytes(totals.baseline_bytes());
  saved->set_held_bytes(totals.held_bytes());
  saved->set_side_bytes(totals.side_bytes());
  auto& categories = *saved->mutable_by_category();
  categories["activation"] = totals.activation_bytes();
  categories["input"] = totals.input_bytes();
  categories["weight_copy"] = totals.weight_copy_bytes();
}

// What the totals hold more than the rows do. Rows of a complete step always
// add up (plugin/ledger); if they ever do not, nobody is left to guess where
// the bytes went.
v1::Layer Remainder(const v1::StepTotals& totals, const LayerTable& layers) {
  v1::Layer rest;
  rest.set_name("(unattributed)");
  rest.set_action("keep");
  rest.set_baseline_bytes(totals.baseline_bytes() - layers.baseline_bytes);
  rest.set_held_bytes(totals.held_bytes() - layers.held_bytes);
  rest.set_side_bytes(totals.side_bytes() - layers.side_bytes);
  return rest;
}

bool Balanced(const v1::StepTotals& totals, const LayerTable& layers) {
  return totals.baseline_bytes() == layers.baseline_bytes &&
         totals.held_bytes() == layers.held_bytes &&
         totals.side_bytes() == layers.side_bytes;
}

// The rows of a step under way are newer than its totals when the process was
// stopped between the two: the rows are what it saved.
void TakeSums(const LayerTable& layers, v1::Saved* saved) {
  saved->set_baseline_bytes(layers.baseline_bytes);
  saved->set_held_bytes(layers.held_bytes);
  saved->set_side_bytes(layers.side_bytes);
  auto& categories = *saved->mutable_by_category();
  for (auto& [name, bytes] : categories) bytes = 0;
  for (const auto& [name, bytes] : layers.by_category) {
    categories[name.empty() ? "activation" : name] += bytes;
  }
}

void FillPeak(const v1::StepTotals& totals, v1::Peak* peak) {
  if (totals.has_peak_allocated_bytes()) {
    peak->set_allocated_bytes(totals.peak_allocated_bytes());
  }
  if (totals.has_peak_reserved_bytes()) {
    peak->set_reserved_bytes(totals.peak_reserved_bytes());
  }
  if (totals.has_saved_at_peak_bytes()) {
    peak->set_saved_at_peak_bytes(totals.saved_at_peak_bytes());
  }
  if (totals.has_eliminated_at_peak_bytes()) {
    peak->set_eliminated_at_peak_bytes(totals.eliminated_at_peak_bytes());
  }
}

// Of the instant: what the allocator gave out since the forward began, against
// what the ledger says is held.
void FillReconciliation(const v1::StepTotals& totals, int64_t held,
                        v1::Reconciliation* out) {
  if (totals.phase() == "forward") return;  // the instant is not reached
  out->set_ledger_bytes(held);
  if (!totals.has_allocated_before_bytes() ||
      !totals.has_allocated_instant_bytes()) {
    return;
  }
  const int64_t delta =
      totals.allocated_instant_bytes() - totals.allocated_before_bytes();
  out->set_allocator_delta_bytes(delta);
  out->set_unexplained_bytes(delta - held);
}

bool Checkpointed(const LayerTable& layers) {
  return std::any_of(layers.layers.begin(), layers.layers.end(),
                     [](const v1::Layer& layer) {
                       return layer.action() == Name(Action::kCheckpoint);
                     });
}

}  // namespace

absl::StatusOr<v1::Report> BuildReport(const StoredRun& run,
                                       const StepChoice& choice) {
  absl::StatusOr<ChosenStep> step = FindStep(run, choice);
  if (!step.ok()) return step.status();
  const v1::StepTotals& totals = *step->totals;

  v1::Report report;
  report.set_schema(kReportSchema);
  report.set_invact_version(INVACT_VERSION);
  *report.mutable_run() = run.run;
  report.mutable_step()->set_index(totals.index());
  report.mutable_step()->set_complete(totals.complete());
  report.mutable_step()->set_phase(totals.phase());

  v1::Saved& saved = *report.mutable_saved();
  FillSaved(totals, &saved);
  report.mutable_checkpoint()->set_source("modelled");
  WarningFacts facts;
  if (step->table != nullptr) {
    LayerTable layers = BuildLayers(run, *step->table);
    facts.unnamed_rows = layers.unnamed_rows;
    if (!Balanced(totals, layers)) {
      if (totals.complete()) {
        const v1::Layer rest = Remainder(totals, layers);
        facts.unattributed_bytes = rest.baseline_bytes();
        facts.unbalanced = true;
        AddLayer(rest, &layers);
      } else {
        TakeSums(layers, &saved);
      }
    }
    *report.mutable_checkpoint() = ModelCheckpoint(run, *step->table, layers);
    if (Checkpointed(layers)) {
      // The run is what would be modelled: its own figure.
      report.mutable_checkpoint()->Clear();
      report.mutable_checkpoint()->set_source("measured");
      report.mutable_checkpoint()->set_held_bytes(saved.held_bytes());
    }
    saved.mutable_by_action()->insert(layers.by_action.begin(),
                                      layers.by_action.end());
    for (v1::Decline& decline : GroupDeclines(layers.layers)) {
      *report.add_declines() = std::move(decline);
    }
    for (v1::Layer& layer : layers.layers) {
      *report.add_layers() = std::move(layer);
    }
  } else {
    facts.no_table = true;
  }
  saved.set_eliminated_bytes(saved.baseline_bytes() - saved.held_bytes());
  if (saved.baseline_bytes() > 0) {
    saved.set_eliminated_fraction(
        static_cast<double>(saved.eliminated_bytes()) /
        static_cast<double>(saved.baseline_bytes()));
  }
  if (const v1::StepTotals* largest = LargestStep(run)) {
    report.mutable_max()->set_step_index(largest->index());
    report.mutable_max()->set_baseline_bytes(largest->baseline_bytes());
    report.mutable_max()->set_held_bytes(largest->held_bytes());
  }
  FillPeak(totals, report.mutable_peak());
  *report.mutable_timing() = MedianTimes(run.steps);
  *report.mutable_losses() = run.losses;
  FillReconciliation(totals, saved.held_bytes(),
                     report.mutable_reconciliation());
  if (run.out_of_memory) {
    *report.mutable_out_of_memory() = *run.out_of_memory;
  }
  for (std::string& warning : CollectWarnings(run, report, facts)) {
    report.add_warnings(std::move(warning));
  }
  return report;
}

}  // namespace invact
