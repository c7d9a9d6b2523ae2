#include "daemon/report/layer_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/report/escape.h"
#include "daemon/report/layer_rows.h"
#include "daemon/report/report_facts.h"
#include "daemon/report/table.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

// Of a text in a table that is not made to fit: a longer one would push the
// figures out of sight.
constexpr int kLongest = 160;

std::string ChangeText(int64_t held, int64_t baseline) {
  if (held == baseline) return "";
  if (baseline == 0) return "new";
  return Change(static_cast<double>(held - baseline) /
                static_cast<double>(baseline));
}

Cell ChangeCell(int64_t held, int64_t baseline) {
  return {ChangeText(held, baseline),
          held < baseline ? Ink::kGreen : Ink::kRed};
}

// "GeluBackward0" -> "Gelu": the line has no room for what all have.
std::string ShortOp(const std::string& op) {
  const size_t at = op.rfind("Backward");
  const bool suffix =
      at != std::string::npos && at > 0 &&
      std::all_of(op.begin() + static_cast<ptrdiff_t>(at) + 8, op.end(),
                  [](char c) { return c >= '0' && c <= '9'; });
  return op.empty() ? "(not known)"
                    : EscapeLine(op.substr(0, suffix ? at : op.npos));
}

std::string NameText(const std::string& name) {
  return name.empty() ? "(outermost)" : EscapeLine(name);
}

Cell ActionCell(const std::string& action, const std::string& declined) {
  if (!declined.empty()) return {EscapeLine(declined), Ink::kYellow};
  return {EscapeLine(action), action == "keep" ? Ink::kDim : Ink::kPlain};
}

std::vector<Cell> RowCells(const LayerRow& row, const std::string& name,
                           bool show_count) {
  return {{show_count ? absl::StrCat(name, " x", row.layers) : name},
          {ShortOp(row.op)},
          {BytesInColumn(row.baseline_bytes)},
          {BytesInColumn(row.held_bytes)},
          ChangeCell(row.held_bytes, row.baseline_bytes),
          ActionCell(row.action, row.declined)};
}

std::vector<Cell> Total(const v1::Report& report) {
  const v1::Saved& saved = report.saved();
  return {{"total", Ink::kBold},
          {},
          {BytesInColumn(saved.baseline_bytes()), Ink::kBold},
          {BytesInColumn(saved.held_bytes()), Ink::kBold},
          ChangeCell(saved.held_bytes(), saved.baseline_bytes()),
          {}};
}

}  // namespace

std::string LayerTableText(const v1::Report& report, const TextStyle& style) {
  const FoldedLayers folded = FoldLayers(report);
  Table table({{"layer", false, 24},
               {"op", false, 10},
               {"baseline", true},
               {"held", true},
               {"change", true},
               {"action", false, 12}});
  for (const LayerGroup& group : folded.groups) {
    if (group.name.empty()) {
      const LayerRow& row = group.rows.front();
      table.Add(RowCells(row, NameText(row.name), false));
      continue;
    }
    table.Add({{absl::StrCat(EscapeLine(group.name), " (", group.blocks, ")"),
                Ink::kBold},
               {},
               {BytesInColumn(group.baseline_bytes), Ink::kBold},
               {BytesInColumn(group.held_bytes), Ink::kBold},
               ChangeCell(group.held_bytes, group.baseline_bytes),
               {}});
    for (const LayerRow& row : group.rows) {
      const std::string name =
          row.name.empty() ? "(itself)" : EscapeLine(row.name);
      table.Add(RowCells(row, "  " + name, row.layers != group.blocks));
    }
  }
  if (folded.small_rows > 0) {
    table.Add(
        {{Count(folded.small_rows, "smaller line", "smaller lines"), Ink::kDim},
         {},
         {BytesInColumn(folded.small_baseline_bytes), Ink::kDim},
         {BytesInColumn(folded.small_held_bytes), Ink::kDim},
         ChangeCell(folded.small_held_bytes, folded.small_baseline_bytes),
         {}});
  }
  table.Add(Total(report));
  std::string note = Count(report.layers_size(), "call site", "call sites");
  if (folded.silent_sites > 0) {
    absl::StrAppend(&note, ", ", folded.silent_sites,
                    " of them share storages of the others");
  }
  absl::StrAppend(&note, "; each one: invact report ", ShortId(report.run()),
                  " --all");
  note = Wrap(note, TextWidth(style), 2);
  note.pop_back();  // the colour ends with the line
  return absl::StrCat(table.Print(style), "  ", Paint(style, Ink::kDim, note),
                      "\n");
}

std::string SiteTable(const v1::Report& report, const TextStyle& style) {
  Table table({{"layer"},
               {"op"},
               {"#", true},
               {"dtype"},
               {"baseline", true},
               {"held", true},
               {"change", true},
               {"action"}});
  for (const v1::Layer& layer : report.layers()) {
    Cell action = ActionCell(layer.action(), layer.declined());
    if (layer.shared() && layer.declined().empty()) {
      action = {"shared", Ink::kDim};
    }
    table.Add({{Shorten(NameText(layer.name()), kLongest)},
               {layer.op().empty() ? "(not known)"
                                   : Shorten(EscapeLine(layer.op()), kLongest)},
               {absl::StrCat(layer.ordinal())},
               {Shorten(EscapeLine(layer.dtype()), kLongest)},
               {BytesInColumn(layer.baseline_bytes())},
               {BytesInColumn(layer.held_bytes())},
               ChangeCell(layer.held_bytes(), layer.baseline_bytes()),
               std::move(action)});
  }
  std::vector<Cell> total = Total(report);
  total.insert(total.begin() + 2, 2, Cell());
  table.Add(std::move(total));
  return table.Print(style);
}

}  // namespace invact
