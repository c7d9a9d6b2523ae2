#include "daemon/report/report_markdown.h"

#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/report/escape.h"
#include "daemon/report/layer_rows.h"
#include "daemon/report/memory_text.h"
#include "daemon/report/report_facts.h"
#include "daemon/report/report_text.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

std::string Line(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const std::string& cell : cells) absl::StrAppend(&out, " ", cell, " |");
  return out + "\n";
}

std::string ChangeOf(int64_t held, int64_t baseline) {
  if (held == baseline || baseline == 0) return "";
  return Change(static_cast<double>(held - baseline) /
                static_cast<double>(baseline));
}

std::string LayerLine(const LayerGroup& group, const LayerRow& row) {
  std::string name = row.name;
  if (!group.name.empty()) {
    name = absl::StrCat(group.name, name.empty() ? "" : ".", name, " (",
                        row.layers, ")");
  }
  return Line({name.empty() ? "(outermost)" : MarkdownText(name),
               MarkdownText(row.op), Bytes(row.baseline_bytes),
               Bytes(row.held_bytes),
               ChangeOf(row.held_bytes, row.baseline_bytes),
               MarkdownText(row.declined.empty() ? row.action : row.declined)});
}

std::string Layers(const v1::Report& report) {
  if (report.layers().empty()) return "";
  const FoldedLayers folded = FoldLayers(report);
  std::string out = absl::StrCat(
      "\n## Layers (measured)\n\n",
      Line({"layer", "op", "baseline", "held", "change", "action"}),
      "| --- | --- | ---: | ---: | ---: | --- |\n");
  for (const LayerGroup& group : folded.groups) {
    for (const LayerRow& row : group.rows) {
      absl::StrAppend(&out, LayerLine(group, row));
    }
  }
  if (folded.small_rows > 0) {
    absl::StrAppend(
        &out,
        Line({Count(folded.small_rows, "smaller line", "smaller lines"), "",
              Bytes(folded.small_baseline_bytes),
              Bytes(folded.small_held_bytes),
              ChangeOf(folded.small_held_bytes, folded.small_baseline_bytes),
              ""}));
  }
  const v1::Saved& saved = report.saved();
  return absl::StrCat(
      out, Line({"**total**", "", Bytes(saved.baseline_bytes()),
                 Bytes(saved.held_bytes()),
                 ChangeOf(saved.held_bytes(), saved.baseline_bytes()), ""}));
}

std::string Declines(const v1::Report& report) {
  if (report.declines().empty()) return "";
  std::string out =
      absl::StrCat("\n## Declined (measured)\n\n",
                   Line({"reason", "sites", "baseline", "what to do"}),
                   "| --- | ---: | ---: | --- |\n");
  for (const v1::Decline& decline : report.declines()) {
    absl::StrAppend(
        &out,
        Line({MarkdownText(decline.reason()), absl::StrCat(decline.sites()),
              Bytes(decline.bytes()), MarkdownText(decline.hint())}));
  }
  return out;
}

}  // namespace

std::string ReportToMarkdown(const v1::Report& report) {
  const v1::Run& run = report.run();
  std::string out = absl::StrCat(
      "# invact report of run ", MarkdownText(ShortId(run)), "\n\n",
      MarkdownText(ReportSentence(report)), "\n\n", Line({"run", "value"}),
      "| --- | --- |\n", Line({"name", MarkdownText(run.name())}),
      Line({"state", MarkdownText(StateText(run))}),
      Line({"policy", MarkdownText(run.policy())}),
      Line({"torch", MarkdownText(run.torch_version())}),
      Line({"device", MarkdownText(run.device())}),
      Line({"rank", absl::StrCat(run.rank(), " of ", run.world_size())}),
      Line({"step",
            absl::StrCat(report.step().index(),
                         report.step().complete() ? "" : ", not completed")}));
  absl::StrAppend(
      &out, "\n## Figures\n\n", Line({"what", "value", "source"}),
      "| --- | --- | --- |\n",
      Line({"baseline", Bytes(report.saved().baseline_bytes()), "measured"}),
      Line({"held", Bytes(report.saved().held_bytes()), "measured"}),
      Line({"eliminated", Bytes(report.saved().eliminated_bytes()),
            "measured"}));
  for (const Fact& fact : DetailFacts(report)) {
    absl::StrAppend(&out,
                    Line({fact.name, MarkdownText(fact.value), fact.source}));
  }
  absl::StrAppend(&out, Layers(report), Declines(report),
                  MemoryMarkdown(report));
  if (!report.warnings().empty()) {
    absl::StrAppend(&out, "\n## Warnings\n\n");
    for (const std::string& warning : report.warnings()) {
      absl::StrAppend(&out, "- ", MarkdownText(warning), "\n");
    }
  }
  return out;
}

}  // namespace invact
