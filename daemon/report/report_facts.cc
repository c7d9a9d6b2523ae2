#include "daemon/report/report_facts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "daemon/report/escape.h"
#include "daemon/report/units.h"
#include "proto/codes.h"

namespace invact {
namespace {

using Amounts = google::protobuf::Map<std::string, int64_t>;

// "invert 3.1 GiB, bits 12 MiB": largest first, without those at 0.
std::string List(const Amounts& amounts) {
  std::vector<std::pair<int64_t, std::string>> sorted;
  for (const auto& [name, bytes] : amounts) {
    if (bytes != 0) sorted.emplace_back(-bytes, name);
  }
  std::sort(sorted.begin(), sorted.end());
  std::string out;
  for (const auto& [bytes, name] : sorted) {
    absl::StrAppend(&out, out.empty() ? "" : ", ", EscapeLine(name), " ",
                    Bytes(-bytes));
  }
  return out.empty() ? "nothing" : out;
}

// Why figures of torch's allocator are missing.
std::string NoAllocator(const v1::Report& report) {
  return report.run().device() == "cpu"
             ? "not known: torch keeps no account of memory on the CPU"
             : "not known of this step";
}

std::string PeakText(const v1::Report& report) {
  const v1::Peak& peak = report.peak();
  if (!peak.has_allocated_bytes()) return NoAllocator(report);
  std::string out = absl::StrCat(Bytes(peak.allocated_bytes()), " allocated");
  if (peak.has_reserved_bytes()) {
    absl::StrAppend(&out, ", ", Bytes(peak.reserved_bytes()), " reserved");
  }
  if (peak.has_saved_at_peak_bytes()) {
    absl::StrAppend(&out, "; saved tensors were ",
                    Bytes(peak.saved_at_peak_bytes()), " of it");
  }
  if (peak.has_eliminated_at_peak_bytes()) {
    absl::StrAppend(&out, ", ", Bytes(peak.eliminated_at_peak_bytes()),
                    " were eliminated");
  }
  return out;
}

std::string WhyNoModel(const v1::Report& report) {
  for (const v1::Decline& decline : report.declines()) {
    if (decline.reason() == Name(Reason::kInCheckpointRegion)) {
      return "not modelled: the job checkpoints already";
    }
  }
  if (report.step().phase() == "forward") {
    return "not modelled: the step did not reach its backward";
  }
  if (report.layers().empty()) {
    return "not modelled: of this step no layers are stored";
  }
  return "not modelled: no block (a module of a ModuleList or Sequential) was "
         "recorded in this step";
}

std::string CheckpointText(const v1::Report& report) {
  const v1::Checkpoint& checkpoint = report.checkpoint();
  if (!checkpoint.has_held_bytes()) return WhyNoModel(report);
  if (checkpoint.source() == "measured") {
    return absl::StrCat("by this run: holds ", Bytes(checkpoint.held_bytes()));
  }
  std::string out =
      absl::StrCat(EscapeLine(checkpoint.blocks()), ": holds ",
                   Bytes(checkpoint.held_bytes()), ", recomputes ",
                   Bytes(checkpoint.recompute_peak_bytes()), " at a time");
  if (checkpoint.has_extra_time_fraction()) {
    absl::StrAppend(&out, ", ", Change(checkpoint.extra_time_fraction()),
                    " time");
  }
  return out;
}

std::string TimingText(const v1::Timing& timing) {
  if (!timing.has_step_seconds_median()) {
    return "not known: no completed step was timed";
  }
  std::string out =
      absl::StrCat("step ", Seconds(timing.step_seconds_median()));
  if (timing.has_forward_seconds_median()) {
    absl::StrAppend(&out, ", forward ",
                    Seconds(timing.forward_seconds_median()));
  }
  if (timing.has_backward_seconds_median()) {
    absl::StrAppend(&out, ", backward ",
                    Seconds(timing.backward_seconds_median()));
  }
  absl::StrAppend(&out, " (medians of ", Count(timing.steps(), "step", "steps"),
                  ", ", timing.clock(), " clock)");
  return out;
}

// How well the allocator's account and ours agree, in words. The batch was
// allocated before the forward, so its bytes are held without having been
// allocated meanwhile.
std::string Verdict(int64_t unexplained, int64_t ledger, int64_t input) {
  const double whole = static_cast<double>(std::max<int64_t>(ledger, 1));
  const double off = std::abs(static_cast<double>(unexplained)) / whole;
  if (off <= 0.005) return "they agree within 0.5 %";
  if (unexplained < 0 && -unexplained <= input + ledger / 200) {
    return absl::StrCat("explained by the ", Bytes(input),
                        " of inputs that were there before the forward");
  }
  if (unexplained < 0) return "less than the ledger says: a kept older graph?";
  if (off <= 0.05) return "temporaries of the forward and allocator rounding";
  return "more than saved tensors: outputs, caches or buffers made in the "
         "forward and still alive";
}

std::string ReconciliationText(const v1::Report& report) {
  const v1::Reconciliation& sums = report.reconciliation();
  if (!sums.has_unexplained_bytes()) {
    return NoAllocator(report);
  }
  const auto& categories = report.saved().by_category();
  const auto input = categories.find("input");
  return absl::StrCat("torch's grew by ", Bytes(sums.allocator_delta_bytes()),
                      " during the forward, the ledger holds ",
                      Bytes(sums.ledger_bytes()), "; unexplained ",
                      Bytes(sums.unexplained_bytes()), ": ",
                      Verdict(sums.unexplained_bytes(), sums.ledger_bytes(),
                              input == categories.end() ? 0 : input->second));
}

}  // namespace

std::string ShortId(const v1::Run& run) {
  return EscapeLine(run.id().substr(0, 8));
}

std::string StateText(const v1::Run& run) {
  std::string out = EscapeLine(run.state());
  if (run.has_signal()) {
    absl::StrAppend(&out, " (signal ", run.signal(), ")");
  } else if (run.end_reason() == "oom") {
    absl::StrAppend(&out, " (out of memory)");
  } else if (run.has_exit_code()) {
    absl::StrAppend(&out, " (exit ", run.exit_code(), ")");
  } else if (!run.end_reason().empty()) {
    absl::StrAppend(&out, " (", EscapeLine(run.end_reason()), ")");
  }
  return out;
}

std::optional<int64_t> PlainPeak(const v1::Peak& peak) {
  if (!peak.has_allocated_bytes() || !peak.has_eliminated_at_peak_bytes()) {
    return std::nullopt;
  }
  return peak.allocated_bytes() + peak.eliminated_at_peak_bytes();
}

std::optional<double> PeakChange(const v1::Peak& peak) {
  const std::optional<int64_t> plain = PlainPeak(peak);
  if (!plain || *plain <= 0) return std::nullopt;
  return -static_cast<double>(peak.eliminated_at_peak_bytes()) /
         static_cast<double>(*plain);
}

std::vector<Fact> DetailFacts(const v1::Report& report) {
  const v1::Saved& saved = report.saved();
  std::vector<Fact> facts;
  if (!saved.by_action().empty()) {
    facts.push_back({"eliminated by", List(saved.by_action()), "measured"});
  }
  facts.push_back({"baseline by", List(saved.by_category()), "measured"});
  if (saved.side_bytes() != 0) {
    facts.push_back(
        {"side data",
         Bytes(saved.side_bytes()) +
             " of the held bytes are what only invact keeps, such as masks",
         "measured"});
  }
  if (report.max().has_step_index() &&
      report.max().baseline_bytes() != saved.baseline_bytes()) {
    facts.push_back(
        {"largest step",
         absl::StrCat("step ", report.max().step_index(), ": baseline ",
                      Bytes(report.max().baseline_bytes()), ", held ",
                      Bytes(report.max().held_bytes())),
         "measured"});
  }
  facts.push_back({"peak memory", PeakText(report),
                   report.peak().has_allocated_bytes() ? "measured" : ""});
  facts.push_back({"checkpointing", CheckpointText(report),
                   report.checkpoint().has_held_bytes()
                       ? report.checkpoint().source()
                       : ""});
  facts.push_back(
      {"time", TimingText(report.timing()),
       report.timing().has_step_seconds_median() ? "measured" : ""});
  facts.push_back(
      {"allocator", ReconciliationText(report),
       report.reconciliation().has_unexplained_bytes() ? "measured" : ""});
  facts.push_back({"lost events",
                   report.losses().events_dropped() == 0
                       ? "none"
                       : absl::StrCat(report.losses().events_dropped(),
                                      "; totals and layers are exact"),
                   "measured"});
  return facts;
}

}  // namespace invact
