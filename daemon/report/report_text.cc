#include "daemon/report/report_text.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "daemon/report/escape.h"
#include "daemon/report/layer_table.h"
#include "daemon/report/memory_text.h"
#include "daemon/report/report_facts.h"
#include "daemon/report/table.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

std::string Heading(const TextStyle& style, const std::string& title,
                    const std::string& tag) {
  return absl::StrCat("\n", Paint(style, Ink::kBold, title), "  ",
                      Paint(style, Ink::kDim, tag), "\n");
}

std::string ChangeOf(int64_t now, int64_t before) {
  if (before <= 0 || now == before) return "";
  return Change(static_cast<double>(now - before) /
                static_cast<double>(before));
}

Ink InkOf(double change) {
  return change < 0 ? Ink::kGreen : change > 0 ? Ink::kRed : Ink::kPlain;
}

// Who ran, how it ended, which step this is.
std::string Head(const v1::Report& report, const TextStyle& style) {
  const v1::Run& run = report.run();
  std::string out =
      absl::StrCat(Paint(style, Ink::kBold, "Run " + ShortId(run)), "  ",
                   Shorten(EscapeLine(run.name()), 50), "  ", StateText(run),
                   "  policy ", EscapeLine(run.policy()), "\n");
  std::string facts = absl::StrCat("torch ", EscapeLine(run.torch_version()));
  const auto add = [&](const std::string& fact) {
    absl::StrAppend(&facts, ", ", fact);
  };
  if (!run.device().empty()) add(EscapeLine(run.device()));
  if (run.world_size() > 1) {
    add(absl::StrCat("rank ", run.rank(), " of ", run.world_size()));
  }
  if (run.restart() > 0) add(absl::StrCat("restart ", run.restart()));
  add(absl::StrCat("host ", EscapeLine(run.host()), " pid ", run.pid()));
  if (run.has_started_at()) add("started " + UtcText(run.started_at()));
  const v1::Step& step = report.step();
  const std::string which =
      step.complete()
          ? absl::StrCat("All bytes are of step ", step.index(), " (",
                         Count(run.steps(), "step", "steps"),
                         " completed), at the instant its backward began")
          : absl::StrCat("All bytes are what step ", step.index(),
                         " had saved in its ", EscapeLine(step.phase()),
                         "; it was not completed");
  return absl::StrCat(out, "  ", Wrap(facts, TextWidth(style), 2), "  ",
                      Wrap(which, TextWidth(style), 2));
}

// Plain PyTorch, this run and full checkpointing side by side.
std::string Comparison(const v1::Report& report, const TextStyle& style) {
  const v1::Saved& saved = report.saved();
  const v1::Checkpoint& checkpoint = report.checkpoint();
  Table table({{""},
               {"saved", true},
               {"", true},
               {"peak", true},
               {"", true},
               {"time", true},
               {""}});
  const std::optional<int64_t> plain_peak = PlainPeak(report.peak());
  const std::optional<double> peak_change = PeakChange(report.peak());
  table.Add({{"plain PyTorch"},
             {BytesInColumn(saved.baseline_bytes())},
             {},
             {plain_peak ? BytesInColumn(*plain_peak) : ""},
             {},
             {},
             {plain_peak ? "measured, peak modelled" : "measured", Ink::kDim}});
  table.Add({{"this run", Ink::kBold},
             {BytesInColumn(saved.held_bytes()), Ink::kBold},
             {ChangeOf(saved.held_bytes(), saved.baseline_bytes()),
              InkOf(static_cast<double>(-saved.eliminated_bytes()))},
             {report.peak().has_allocated_bytes()
                  ? BytesInColumn(report.peak().allocated_bytes())
                  : ""},
             {peak_change && *peak_change != 0 ? Change(*peak_change) : "",
              InkOf(peak_change.value_or(0))},
             {report.timing().has_step_seconds_median()
                  ? Seconds(report.timing().step_seconds_median())
                  : ""},
             {"measured", Ink::kDim}});
  // This run is the measured one.
  if (checkpoint.has_held_bytes() && checkpoint.source() != "measured") {
    table.Add({{"full checkpointing"},
               {BytesInColumn(checkpoint.held_bytes())},
               {ChangeOf(checkpoint.held_bytes(), saved.baseline_bytes()),
                InkOf(static_cast<double>(checkpoint.held_bytes() -
                                          saved.baseline_bytes()))},
               {},
               {},
               {checkpoint.has_extra_time_fraction()
                    ? Change(checkpoint.extra_time_fraction())
                    : ""},
               {EscapeLine(checkpoint.source()), Ink::kDim}});
  }
  return "\n" + table.Print(style);
}

std::string Details(const v1::Report& report, const TextStyle& style) {
  std::string out = "\n" + Paint(style, Ink::kBold, "Details") + "\n";
  const std::vector<Fact> facts = DetailFacts(report);
  size_t names = 0;
  for (const Fact& fact : facts) names = std::max(names, fact.name.size());
  const int indent = static_cast<int>(names) + 4;
  for (const Fact& fact : facts) {
    const std::string name =
        fact.name + std::string(names - fact.name.size(), ' ');
    const std::string tag =
        fact.source.empty() ? "" : absl::StrCat(" (", fact.source, ")");
    absl::StrAppend(&out, "  ", Paint(style, Ink::kDim, name), "  ",
                    Wrap(fact.value + tag, TextWidth(style), indent));
  }
  return out;
}

std::string Declines(const v1::Report& report, const TextStyle& style) {
  if (report.declines().empty()) return "";
  std::string out = Heading(style, "Declined", "measured");
  for (const v1::Decline& decline : report.declines()) {
    absl::StrAppend(
        &out, "  ",
        Paint(style, Ink::kYellow, Shorten(EscapeLine(decline.reason()), 60)),
        "  ", Count(decline.sites(), "site", "sites"), ", ",
        Bytes(decline.bytes()), "\n      ",
        Wrap(EscapeLine(decline.hint()), TextWidth(style), 6));
  }
  return out;
}

std::string Warnings(const v1::Report& report, const TextStyle& style) {
  std::string out;
  for (const std::string& warning : report.warnings()) {
    absl::StrAppend(&out, out.empty() ? "\n" : "",
                    Paint(style, Ink::kYellow, "warning:"), " ",
                    Wrap(EscapeLine(warning), TextWidth(style), 9));
  }
  return out;
}

}  // namespace

std::string ReportToText(const v1::Report& report, const TextStyle& style) {
  // The sentence stays in one line, for grep; a terminal wraps it.
  std::string out =
      absl::StrCat(Paint(style, Ink::kBold, ReportSentence(report)), "\n\n",
                   Head(report, style), Comparison(report, style));
  if (!report.layers().empty()) {
    absl::StrAppend(
        &out,
        Heading(style, style.all ? "Call sites" : "Layers",
                "measured, in the order in which they save"),
        style.all ? SiteTable(report, style) : LayerTableText(report, style));
  }
  absl::StrAppend(&out, Declines(report, style), MemoryText(report, style),
                  Details(report, style), Warnings(report, style));
  return out;
}

}  // namespace invact
