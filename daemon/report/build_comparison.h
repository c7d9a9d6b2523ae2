// From the reports of one job's runs under several policies to the one table
// that every format prints. Pure functions: no clock, no database, any thread.
#ifndef INVACT_DAEMON_REPORT_BUILD_COMPARISON_H_
#define INVACT_DAEMON_REPORT_BUILD_COMPARISON_H_

#include <optional>
#include <string>
#include <vector>

#include "daemon/report/compare_digests.h"
#include "invact/v1/run.pb.h"

namespace invact {

inline constexpr char kComparisonSchema[] = "invact.compare/v1";

// One child of the comparison.
struct RoundFacts {
  v1::RoundRun asked;  // what its parent saw
  // Of the rank with the highest peak; nothing: no run began, or no step of it
  // was stored.
  std::optional<v1::Report> report;
  std::optional<v1::Run> run;       // nothing: no run began
  std::vector<RunDigests> digests;  // of all processes of the job
};
struct PolicyFacts {
  std::string policy;
  std::vector<RoundFacts> rounds;
};

// Without id and time. The reference is the first policy of which all rounds
// ended well; bytes are those of a policy's last round that ended well, where
// there is none of its last round with a stored step. Losses and gradients are
// compared with the reference's run of the same round, and the reference's own
// with those of its first round.
v1::Comparison BuildComparison(int32_t rounds,
                               const std::vector<PolicyFacts>& policies);

// Whether the row, or the round, ended as a job should.
bool EndedWell(const v1::ComparedPolicy& row);
bool EndedWell(const v1::ComparedRound& round);

// Geometric mean of `ratios` - 1, with the 95 % interval by Student's t; low
// and high are NaN for fewer than two. ratios: not empty, all above 0.
struct Interval {
  double middle, low, high;
};
Interval AddedFraction(const std::vector<double>& ratios);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_BUILD_COMPARISON_H_
