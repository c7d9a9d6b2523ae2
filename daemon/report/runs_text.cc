#include "daemon/report/runs_text.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "daemon/report/escape.h"
#include "daemon/report/report_facts.h"
#include "daemon/report/table.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

constexpr size_t kShortest = 4;

// The shortest beginning, of at least kShortest digits, that no other id has.
size_t UniqueLength(const std::vector<v1::Run>& runs) {
  std::vector<std::string_view> ids;
  for (const v1::Run& run : runs) ids.push_back(run.id());
  std::sort(ids.begin(), ids.end());
  size_t length = kShortest;
  for (size_t i = 1; i < ids.size(); ++i) {
    if (ids[i] == ids[i - 1]) continue;
    const auto [a, b] = std::mismatch(ids[i - 1].begin(), ids[i - 1].end(),
                                      ids[i].begin(), ids[i].end());
    length = std::max(length, static_cast<size_t>(a - ids[i - 1].begin()) + 1);
  }
  return length;
}

Cell StateCell(const v1::Run& run) {
  const Ink ink = run.state() == "crashed"   ? Ink::kRed
                  : run.state() == "running" ? Ink::kGreen
                                             : Ink::kPlain;
  return {StateText(run), ink};
}

}  // namespace

std::string RunsToText(const std::vector<v1::Run>& runs,
                       const TextStyle& style) {
  if (runs.empty()) return "";
  Table table({{"run"},
               {"name", false, 10},
               {"state", false, 8},
               {"policy", false, 6},
               {"rank", true},
               {"steps", true},
               {"started"},
               {"device", false, 6},
               {"job", false, 8}});
  const size_t digits = UniqueLength(runs);
  for (const v1::Run& run : runs) {
    // A job of one process is the run itself.
    const bool alone = run.job_id() == run.id();
    table.Add({{EscapeLine(run.id().substr(0, digits)), Ink::kBold},
               {EscapeLine(run.name())},
               StateCell(run),
               {EscapeLine(run.policy())},
               {absl::StrCat(run.rank())},
               {absl::StrCat(run.steps())},
               {run.has_started_at() ? UtcText(run.started_at()) : ""},
               {EscapeLine(run.device())},
               {alone ? "" : EscapeLine(run.job_id())}});
  }
  return table.Print(style, 0);
}

}  // namespace invact
