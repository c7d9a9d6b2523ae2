#include "daemon/report/compare_text.h"

#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/report/build_comparison.h"
#include "daemon/report/escape.h"
#include "daemon/report/table.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

// What a figure that is not known is shown as.
constexpr char kNone[] = "-";

std::string EndText(const v1::ComparedPolicy& row) {
  if (EndedWell(row)) return "ok";
  const std::string& reason = row.end_reason();
  if (reason == "oom") return "out of memory";
  if (reason == "timeout") return "timed out";
  if (row.has_signal()) return absl::StrCat("signal ", row.signal());
  if (row.has_exit_code()) return absl::StrCat("exit ", row.exit_code());
  return reason.empty() ? "not run" : reason;
}

std::string StepText(const v1::ComparedPolicy& row) {
  return row.timing().has_step_seconds_median()
             ? Seconds(row.timing().step_seconds_median())
             : kNone;
}

// "+2.1 % (+1.4 % to +2.9 %)".
std::string AddedText(const v1::ComparedPolicy& row,
                      const std::string& reference) {
  if (row.policy() == reference) return "reference";
  if (!row.has_added_fraction()) return kNone;
  std::string text = Change(row.added_fraction());
  if (row.has_added_fraction_low()) {
    absl::StrAppend(&text, " (", Change(row.added_fraction_low()), " to ",
                    Change(row.added_fraction_high()), ")");
  }
  return text;
}

std::string LossText(const v1::ComparedPolicy& row) {
  if (!row.has_loss_equal()) return "unseen";
  return row.loss_equal() ? "equal" : "differ";
}

std::vector<std::string> Figures(const v1::ComparedPolicy& row,
                                 const std::string& reference) {
  const auto bytes = [](bool known, int64_t value) {
    return known ? BytesInColumn(value) : std::string(kNone);
  };
  const v1::Peak& peak = row.peak();
  std::string change;
  if (row.has_saved() && row.saved().has_eliminated_fraction() &&
      row.saved().eliminated_bytes() != 0) {
    change = Change(-row.saved().eliminated_fraction());
  }
  return {bytes(row.has_saved(), row.saved().baseline_bytes()),
          bytes(row.has_saved(), row.saved().held_bytes()),
          change,
          bytes(peak.has_allocated_bytes(), peak.allocated_bytes()),
          bytes(peak.has_reserved_bytes(), peak.reserved_bytes()),
          StepText(row),
          AddedText(row, reference),
          LossText(row),
          row.gradients(),
          EndText(row)};
}

constexpr const char* kTitles[] = {
    "policy",         "saved",     "held", "",
    "peak allocated", "reserved",  "step", "added time",
    "loss",           "gradients", "end"};

std::string Head(const v1::Comparison& comparison) {
  return absl::StrCat("Comparison ", comparison.id().substr(0, 8),
                      comparison.name().empty()
                          ? ""
                          : absl::StrCat(" of ", EscapeLine(comparison.name())),
                      ", ", Count(comparison.rounds(), "round", "rounds"),
                      " (all measured)");
}

std::string Explanation(const v1::Comparison& comparison) {
  if (comparison.reference().empty()) {
    return "No policy ended well in all its rounds, so there is nothing to "
           "measure the others against.";
  }
  return absl::StrCat("Times are medians of the steps; added time is against ",
                      EscapeLine(comparison.reference()),
                      ", paired round by round, with its 95 % interval.");
}

}  // namespace

std::string ComparisonToText(const v1::Comparison& comparison,
                             const TextStyle& style) {
  std::vector<Column> columns;
  for (size_t i = 0; i < std::size(kTitles); ++i) {
    columns.push_back({kTitles[i], i >= 1 && i <= 6});
  }
  Table table(columns);
  for (const v1::ComparedPolicy& row : comparison.policies()) {
    std::vector<Cell> cells = {{EscapeLine(row.policy()), Ink::kBold}};
    for (std::string& text : Figures(row, comparison.reference())) {
      cells.push_back({EscapeLine(text)});
    }
    cells.back().ink = EndedWell(row) ? Ink::kDim : Ink::kRed;
    table.Add(std::move(cells));
  }
  std::string out = absl::StrCat(
      Paint(style, Ink::kBold, Head(comparison)), "\n\n", table.Print(style),
      "\n", Wrap(Explanation(comparison), TextWidth(style), 0));
  for (const v1::ComparedPolicy& row : comparison.policies()) {
    for (const std::string& note : row.notes()) {
      absl::StrAppend(&out, Wrap(absl::StrCat(EscapeLine(row.policy()), ": ",
                                              EscapeLine(note)),
                                 TextWidth(style), 2));
    }
  }
  return out;
}

std::string ComparisonToMarkdown(const v1::Comparison& comparison) {
  const auto line = [](const std::vector<std::string>& cells) {
    return absl::StrCat("| ", absl::StrJoin(cells, " | "), " |\n");
  };
  std::vector<std::string> titles(std::begin(kTitles), std::end(kTitles));
  titles[3] = "change";
  std::string out = absl::StrCat(
      "# ", MarkdownText(Head(comparison)), "\n\n", line(titles),
      "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- | --- | --- "
      "|\n");
  for (const v1::ComparedPolicy& row : comparison.policies()) {
    std::vector<std::string> cells = {MarkdownText(row.policy())};
    for (const std::string& text : Figures(row, comparison.reference())) {
      cells.push_back(MarkdownText(text));
    }
    out += line(cells);
  }
  absl::StrAppend(&out, "\n", MarkdownText(Explanation(comparison)), "\n");
  for (const v1::ComparedPolicy& row : comparison.policies()) {
    for (const std::string& note : row.notes()) {
      absl::StrAppend(&out, "\n- ", MarkdownText(row.policy()), ": ",
                      MarkdownText(note));
    }
  }
  return absl::EndsWith(out, "\n") ? out : out + "\n";
}

std::string ComparisonsToText(const std::vector<v1::Comparison>& comparisons,
                              const TextStyle& style) {
  if (comparisons.empty()) return "";
  Table table({{"comparison"},
               {"name", false, 10},
               {"policies", false, 20},
               {"rounds", true},
               {"made"}});
  for (const v1::Comparison& one : comparisons) {
    std::vector<std::string> policies;
    for (const v1::ComparedPolicy& row : one.policies()) {
      policies.push_back(EscapeLine(row.policy()));
    }
    table.Add({{one.id().substr(0, 8), Ink::kBold},
               {EscapeLine(one.name())},
               {absl::StrJoin(policies, ",")},
               {absl::StrCat(one.rounds())},
               {UtcText(one.created_at())}});
  }
  return table.Print(style, 0);
}

}  // namespace invact
