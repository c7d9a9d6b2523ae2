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

void AddSaved(const std::optional<v1::StepTotals>& step,
              std::vector<Cell>* cells) {
  if (!step) {
    cells->push_back({"-"});
    cells->push_back({"-"});
    return;
  }
  const int64_t eliminated = step->baseline_bytes() - step->held_bytes();
  std::string text = BytesInColumn(eliminated);
  if (step->baseline_bytes() > 0) {
    absl::StrAppend(&text, " (",
                    Change(-static_cast<double>(eliminated) /
                           static_cast<double>(step->baseline_bytes())),
                    ")");
  }
  cells->push_back({BytesInColumn(step->held_bytes())});
  cells->push_back({text});
}

}  // namespace

std::string RunsToText(
    const std::vector<v1::Run>& runs, const TextStyle& style,
    const std::vector<std::optional<v1::StepTotals>>& last_steps) {
  if (runs.empty()) return "";
  std::vector<Column> columns = {{"run"},
                                 {"name", false, 10},
                                 {"state", false, 8},
                                 {"policy", false, 6},
                                 {"rank", true},
                                 {"steps", true}};
  if (!last_steps.empty()) {
    columns.push_back({"held", true});
    columns.push_back({"eliminated (measured)", true});
  }
  columns.push_back({"started"});
  columns.push_back({"device", false, 6});
  columns.push_back({"job", false, 8});
  Table table(columns);
  const size_t digits = UniqueLength(runs);
  for (size_t i = 0; i < runs.size(); ++i) {
    const v1::Run& run = runs[i];
    // A job of one process is the run itself.
    const bool alone = run.job_id() == run.id();
    std::vector<Cell> cells = {
        {EscapeLine(run.id().substr(0, digits)), Ink::kBold},
        {EscapeLine(run.name())},
        StateCell(run),
        {EscapeLine(run.policy())},
        {absl::StrCat(run.rank())},
        {absl::StrCat(run.steps())}};
    if (!last_steps.empty()) AddSaved(last_steps[i], &cells);
    cells.push_back({run.has_started_at() ? UtcText(run.started_at()) : ""});
    cells.push_back({EscapeLine(run.device())});
    cells.push_back({alone ? "" : EscapeLine(run.job_id())});
    table.Add(cells);
  }
  return table.Print(style, 0);
}

}  // namespace invact
