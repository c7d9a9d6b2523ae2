#include "daemon/report/report_warnings.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/codes.h"

namespace invact {
namespace {

// The row that the plugin adds up in what did not fit its tables.
constexpr char kOtherRow[] = "(other)";

void AboutTheStep(const StoredRun& run, const v1::Report& report,
                  std::vector<std::string>* out) {
  const v1::Step& step = report.step();
  if (!step.complete()) {
    out->push_back(absl::StrCat("step ", step.index(),
                                " was not completed: the figures are what its ",
                                step.phase(), " had saved so far"));
  } else if (run.live && run.live->totals().index() > step.index() &&
             run.run.state() != "running") {
    out->push_back(absl::StrCat(
        "step ", run.live->totals().index(), " was not completed (",
        run.live->totals().phase(), "); the figures are of step ", step.index(),
        ", see the other by --step ", run.live->totals().index()));
  }
}

template <size_t N>
bool Known(const std::string& name, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// Names of a newer plugin are shown as they came.
void AboutNames(const v1::Report& report, std::vector<std::string>* out) {
  std::set<std::string> unknown;
  for (const v1::Layer& layer : report.layers()) {
    if (!Known(layer.action(), codes::kActionNames)) {
      unknown.insert("action " + layer.action());
    }
    if (!Known(layer.declined(), codes::kReasonNames)) {
      unknown.insert("reason " + layer.declined());
    }
  }
  if (unknown.empty()) return;
  out->push_back(absl::StrCat("invact ", report.invact_version(),
                              " does not know ", absl::StrJoin(unknown, ", "),
                              " (the run was recorded by invact ",
                              report.run().invact_version(), ")"));
}

}  // namespace

std::vector<std::string> CollectWarnings(const StoredRun& run,
                                         const v1::Report& report,
                                         const WarningFacts& facts) {
  std::vector<std::string> out = run.warnings;
  AboutTheStep(run, report, &out);
  if (facts.no_table) {
    out.push_back(absl::StrCat(
        "layers are stored of the last, the largest and the unfinished step "
        "only: of step ",
        report.step().index(), " there are totals"));
  }
  if (facts.unbalanced) {
    out.push_back(absl::StrCat(
        "the rows of the layers and the totals differ by ",
        facts.unattributed_bytes,
        " bytes of baseline: the difference is in the row (unattributed)"));
  }
  if (facts.unnamed_rows > 0) {
    out.push_back(absl::StrCat(
        facts.unnamed_rows,
        " call sites came without their names: they are called (unknown)"));
  }
  for (const v1::Layer& layer : report.layers()) {
    if (layer.name() == kOtherRow && layer.baseline_bytes() != 0) {
      out.push_back(
          "the model has more call sites than are counted one by one: the rest "
          "is added up in the row (other)");
      break;
    }
  }
  AboutNames(report, &out);
  if (run.losses.events_dropped() > 0) {
    out.push_back(absl::StrCat(
        run.losses.events_dropped(),
        " events were dropped: the timeline has holes, all totals are exact"));
  }
  return out;
}

}  // namespace invact
