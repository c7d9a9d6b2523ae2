#include "daemon/service/choose_run.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "daemon/service/rpc_status.h"

namespace invact {
namespace {

constexpr size_t kMaxCandidates = 8;

absl::Status NotFound(const std::string& selector) {
  if (selector == "@last" || selector.empty()) {
    return WithNext(absl::NotFoundError("no run is stored yet"),
                    "start one with: invact run -- CMD");
  }
  return WithNext(
      absl::NotFoundError(absl::StrCat("no run matches \"", selector, "\"")),
      "see what there is with: invact ls");
}

absl::Status Ambiguous(const std::string& selector,
                       const std::vector<RunRow>& matches) {
  std::vector<std::string> lines;
  for (const RunRow& row : matches) {
    if (lines.size() == kMaxCandidates) {
      lines.push_back(
          absl::StrCat("and ", matches.size() - kMaxCandidates, " more"));
      break;
    }
    lines.push_back(absl::StrCat(
        row.run.id(), " (", row.run.name(), ", rank ", row.run.rank(), ", ",
        absl::FormatTime("%Y-%m-%d %H:%M:%S",
                         absl::FromUnixNanos(row.started_ns),
                         absl::UTCTimeZone()),
        " UTC, ", row.run.state(), ")"));
  }
  return WithNext(absl::InvalidArgumentError(absl::StrCat(
                      "\"", selector, "\" matches ", matches.size(),
                      " runs: ", absl::StrJoin(lines, ", "))),
                  "give more of the id, newest is first");
}

}  // namespace

absl::StatusOr<RunRow> ChooseRun(const std::string& selector,
                                 const std::vector<RunRow>& matches) {
  if (matches.empty()) return NotFound(selector);
  if (matches.size() == 1) return matches[0];
  std::set<std::string> jobs;
  for (const RunRow& row : matches) jobs.insert(row.run.job_id());
  const v1::Run& first = matches[0].run;
  const bool whole = selector == "@last" || selector == first.job_id() ||
                     selector == first.name();
  if (jobs.size() > 1 || !whole) return Ambiguous(selector, matches);
  return *std::max_element(
      matches.begin(), matches.end(), [](const RunRow& a, const RunRow& b) {
        const auto key = [](const RunRow& row) {
          return std::tuple(row.run.restart(), row.peak_bytes,
                            row.peak_held_bytes, -row.run.rank());
        };
        return key(a) < key(b);
      });
}

absl::StatusOr<RunRow> ChooseRank(int rank, const std::vector<RunRow>& job) {
  std::set<int> ranks;
  const RunRow* best = nullptr;
  for (const RunRow& row : job) {
    ranks.insert(row.run.rank());
    if (row.run.rank() != rank) continue;
    if (best == nullptr || row.run.restart() > best->run.restart()) best = &row;
  }
  if (best) return *best;
  return WithNext(absl::NotFoundError(absl::StrCat("no rank ", rank)),
                  absl::StrCat("the job's runs have the ranks ",
                               absl::StrJoin(ranks, ", ")));
}

}  // namespace invact
