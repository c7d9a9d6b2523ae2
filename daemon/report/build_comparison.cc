#include "daemon/report/build_comparison.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "absl/strings/str_cat.h"
#include "daemon/analysis/timing.h"
#include "daemon/report/compare_agreement.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

// Two-sided 95 % of Student's t for 1, 2, ... degrees of freedom; beyond the
// table the normal's is 2 % off at most.
constexpr double kStudent95[] = {
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};

double Student95(size_t freedom) {
  return freedom <= std::size(kStudent95) ? kStudent95[freedom - 1] : 2.0;
}

template <typename End>
bool Well(const End& end) {
  return end.end_reason() == "exit" && end.exit_code() == 0;
}

v1::ComparedRound RoundOf(const RoundFacts& facts) {
  v1::ComparedRound out;
  out.set_round(facts.asked.round());
  const v1::RoundRun& seen = facts.asked;
  // The parent's word first; why it was so is known to the run.
  if (seen.has_exit_code()) out.set_exit_code(seen.exit_code());
  if (seen.has_signal()) out.set_signal(seen.signal());
  if (seen.timed_out()) {
    out.set_end_reason("timeout");
  } else if (seen.has_signal()) {
    out.set_end_reason("signal");
  } else if (seen.has_exit_code()) {
    out.set_end_reason("exit");
  }
  if (facts.run) {
    const v1::Run& run = *facts.run;
    out.set_run_id(run.id());
    out.set_steps(run.steps());
    const bool failed = !Well(out);
    if (!seen.timed_out() && failed && run.end_reason() == "oom") {
      out.set_end_reason("oom");
    }
    // A launcher may end well over a rank that did not.
    if (!failed && run.state() == "crashed") {
      out.set_end_reason(run.end_reason());
      if (run.has_signal()) {
        out.clear_exit_code();
        out.set_signal(run.signal());
      } else if (run.has_exit_code()) {
        out.set_exit_code(run.exit_code());
      }
    }
  }
  if (facts.report && facts.report->timing().has_step_seconds_median()) {
    const v1::Timing& timing = facts.report->timing();
    out.set_step_seconds_median(timing.step_seconds_median());
    out.set_clock(timing.clock());
  }
  return out;
}

using Getter = double (v1::Timing::*)() const;
using Has = bool (v1::Timing::*)() const;
std::optional<double> MedianOf(const PolicyFacts& facts,
                               const std::string& clock, Has has, Getter get) {
  std::vector<double> values;
  for (const RoundFacts& round : facts.rounds) {
    if (!round.report) continue;
    const v1::Timing& timing = round.report->timing();
    if (timing.clock() == clock && (timing.*has)()) {
      values.push_back((timing.*get)());
    }
  }
  return Median(std::move(values));
}

void FillTiming(const PolicyFacts& facts, const std::string& clock,
                v1::Timing* out) {
  using T = v1::Timing;
  if (auto v = MedianOf(facts, clock, &T::has_step_seconds_median,
                        &T::step_seconds_median)) {
    out->set_step_seconds_median(*v);
  }
  if (auto v = MedianOf(facts, clock, &T::has_forward_seconds_median,
                        &T::forward_seconds_median)) {
    out->set_forward_seconds_median(*v);
  }
  if (auto v = MedianOf(facts, clock, &T::has_backward_seconds_median,
                        &T::backward_seconds_median)) {
    out->set_backward_seconds_median(*v);
  }
  out->set_clock(clock);
  int64_t steps = 0;
  for (const RoundFacts& round : facts.rounds) {
    if (round.report && round.report->timing().clock() == clock) {
      steps += round.report->timing().steps();
    }
  }
  out->set_steps(steps);
}

// The round whose bytes stand for the policy.
const RoundFacts* Chosen(const PolicyFacts& facts,
                         const v1::ComparedPolicy& row) {
  const RoundFacts* chosen = nullptr;
  bool well = false;
  for (size_t i = 0; i < facts.rounds.size(); ++i) {
    if (!facts.rounds[i].report) continue;
    const bool ended_well = Well(row.rounds(static_cast<int>(i)));
    if (well && !ended_well) continue;
    chosen = &facts.rounds[i];
    well = ended_well;
  }
  return chosen;
}

v1::ComparedPolicy RowOf(const PolicyFacts& facts) {
  v1::ComparedPolicy row;
  row.set_policy(facts.policy);
  row.set_gradients("unseen");
  for (const RoundFacts& round : facts.rounds) {
    *row.add_rounds() = RoundOf(round);
    if (!round.asked.note().empty()) {
      row.add_notes(absl::StrCat("round ", round.asked.round(), ": ",
                                 round.asked.note()));
    }
  }
  const auto failed =
      std::find_if(row.rounds().begin(), row.rounds().end(),
                   [](const v1::ComparedRound& round) { return !Well(round); });
  if (!row.rounds().empty()) {
    const v1::ComparedRound end =
        failed != row.rounds().end() ? *failed : *row.rounds().rbegin();
    row.set_end_reason(end.end_reason());
    if (end.has_exit_code()) row.set_exit_code(end.exit_code());
    if (end.has_signal()) row.set_signal(end.signal());
    row.set_run_id(end.run_id());
    row.set_steps(end.steps());
  }
  if (const RoundFacts* chosen = Chosen(facts, row)) {
    const v1::Report& report = *chosen->report;
    row.set_run_id(report.run().id());
    row.set_steps(report.run().steps());
    *row.mutable_saved() = report.saved();
    *row.mutable_peak() = report.peak();
    if (report.timing().has_step_seconds_median()) {
      FillTiming(facts, report.timing().clock(), row.mutable_timing());
    }
    if (!report.step().complete()) {
      row.add_notes(
          "no step was completed: bytes are those that were saved "
          "when it ended");
    }
    if (report.run().policy() != facts.policy) {
      row.add_notes(
          absl::StrCat("the run carried out ", report.run().policy()));
    }
    // What the policy did not do is said by the run itself.
    for (const std::string& warning : report.warnings()) row.add_notes(warning);
  }
  return row;
}

void AddTimes(const v1::ComparedPolicy& reference, v1::ComparedPolicy* row) {
  std::vector<double> ratios;
  for (const v1::ComparedRound& before : reference.rounds()) {
    for (const v1::ComparedRound& now : row->rounds()) {
      if (now.round() == before.round() && Well(now) && Well(before) &&
          now.clock() == before.clock() && before.step_seconds_median() > 0 &&
          now.step_seconds_median() > 0) {
        ratios.push_back(now.step_seconds_median() /
                         before.step_seconds_median());
      }
    }
  }
  if (ratios.empty()) return;
  const Interval added = AddedFraction(ratios);
  row->set_added_fraction(added.middle);
  if (std::isnan(added.low)) return;
  row->set_added_fraction_low(added.low);
  row->set_added_fraction_high(added.high);
}

}  // namespace

bool EndedWell(const v1::ComparedPolicy& row) { return Well(row); }
bool EndedWell(const v1::ComparedRound& round) { return Well(round); }

Interval AddedFraction(const std::vector<double>& ratios) {
  const auto n = static_cast<double>(ratios.size());
  double sum = 0, squares = 0;
  for (double ratio : ratios) sum += std::log(ratio);
  const double mean = sum / n;
  for (double ratio : ratios) {
    squares += (std::log(ratio) - mean) * (std::log(ratio) - mean);
  }
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (ratios.size() < 2) return {std::expm1(mean), kNone, kNone};
  const double half =
      Student95(ratios.size() - 1) * std::sqrt(squares / (n - 1) / n);
  return {std::expm1(mean), std::expm1(mean - half), std::expm1(mean + half)};
}

v1::Comparison BuildComparison(int32_t rounds,
                               const std::vector<PolicyFacts>& policies) {
  v1::Comparison out;
  out.set_schema(kComparisonSchema);
  out.set_rounds(rounds);
  for (const PolicyFacts& facts : policies) *out.add_policies() = RowOf(facts);
  const v1::ComparedPolicy* reference = nullptr;
  for (const v1::ComparedPolicy& row : out.policies()) {
    if (reference == nullptr && Well(row) && row.has_saved()) reference = &row;
  }
  for (const PolicyFacts& facts : policies) {
    for (const RoundFacts& round : facts.rounds) {
      if (out.name().empty() && round.run) out.set_name(round.run->name());
    }
  }
  if (reference != nullptr) out.set_reference(reference->policy());
  AddAgreement(policies, &out);
  if (reference == nullptr) return out;
  const v1::ComparedPolicy first = *reference;
  for (v1::ComparedPolicy& row : *out.mutable_policies()) {
    if (row.policy() != first.policy()) AddTimes(first, &row);
    if (Well(row) && row.has_saved() && row.steps() != first.steps()) {
      row.add_notes(absl::StrCat(Count(row.steps(), "step", "steps"), " where ",
                                 first.policy(), " made ", first.steps()));
    }
  }
  return out;
}

}  // namespace invact
