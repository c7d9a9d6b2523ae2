// `invact diff` for people.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/report/diff.h"
#include "daemon/report/diff_parts.h"
#include "daemon/report/escape.h"
#include "daemon/report/layer_rows.h"
#include "daemon/report/report_facts.h"
#include "daemon/report/table.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

constexpr size_t kMostRows = 40;

std::string ValueText(const std::string& path, const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_number_integer() &&
      (path.ends_with("_bytes") || path.ends_with(".bytes") ||
       path.starts_with("saved.by_"))) {
    return BytesInColumn(value.get<int64_t>());
  }
  if (value.is_number() && path.find("_seconds") != std::string::npos) {
    return Seconds(value.get<double>());
  }
  if (value.is_number() && path.ends_with("_fraction")) {
    return Percent(value.get<double>());
  }
  if (value.is_string()) return EscapeLine(value.get<std::string>());
  return value.dump();
}

// Of amounts: a change of a fraction or of an index says nothing.
std::string ChangeText(const std::string& path, const Json& first,
                       const Json& last) {
  if (!first.is_number() || !last.is_number() || path.ends_with("_fraction") ||
      path.ends_with("index") || path.starts_with("run.")) {
    return "";
  }
  const double before = first.get<double>(), now = last.get<double>();
  return before <= 0 || before == now ? "" : Change((now - before) / before);
}

// How a field came to be known, by its path.
const char* SourceOf(const std::string& path) {
  if (path.starts_with("run.") || path.starts_with("step.")) return "";
  return path.starts_with("checkpoint.") ? "modelled" : "measured";
}

// Call sites of equal blocks, added up.
struct Folded {
  std::string name;
  std::string op;
  int64_t sites = 0;
  struct Value {
    bool seen = false;
    int64_t held_bytes = 0;
    std::string action;
  };
  std::vector<Value> values;  // one a report

  int64_t change() const {
    return values.back().held_bytes - values.front().held_bytes;
  }
};

std::vector<Folded> Fold(const std::vector<LayerDiff>& diffs, bool all) {
  std::vector<Folded> out;
  std::map<std::pair<std::string, std::string>, size_t> place;
  for (size_t i = 0; i < diffs.size(); ++i) {
    const LayerDiff& diff = diffs[i];
    // With `all` each stands alone: the key is its number.
    std::pair<std::string, std::string> key =
        all ? std::pair(absl::StrCat(i), std::string())
            : std::pair(BlockPattern(diff.name), diff.op);
    const auto [at, added] = place.try_emplace(std::move(key), out.size());
    if (added) {
      out.push_back({diff.name, diff.op, 0,
                     std::vector<Folded::Value>(diff.layers.size())});
    }
    Folded& row = out[at->second];
    if (++row.sites > 1 && row.name != diff.name) {
      row.name = BlockPattern(diff.name);
    }
    for (size_t run = 0; run < diff.layers.size(); ++run) {
      const v1::Layer* layer = diff.layers[run];
      if (layer == nullptr) continue;
      Folded::Value& value = row.values[run];
      const std::string& action =
          layer->declined().empty() ? layer->action() : layer->declined();
      value.held_bytes += layer->held_bytes();
      value.action = !value.seen || value.action == action ? action : "mixed";
      value.seen = true;
    }
  }
  return out;
}

// Leaves the rows with the largest changes; returns how many went.
size_t Limit(std::vector<Folded>* rows) {
  if (rows->size() <= kMostRows) return 0;
  std::vector<int64_t> changes;
  for (const Folded& row : *rows) changes.push_back(std::abs(row.change()));
  std::sort(changes.begin(), changes.end(), std::greater<>());
  const int64_t least = changes[kMostRows - 1];
  // Of those that change by `least` the first ones stay.
  auto room = static_cast<int64_t>(kMostRows) -
              (std::lower_bound(changes.begin(), changes.end(), least,
                                std::greater<>()) -
               changes.begin());
  const size_t before = rows->size();
  std::erase_if(*rows, [&](const Folded& row) {
    const int64_t change = std::abs(row.change());
    return change < least || (change == least && room-- <= 0);
  });
  return before - rows->size();
}

std::vector<Column> RunColumns(const std::vector<v1::Report>& reports,
                               std::vector<Column> columns) {
  for (const v1::Report& report : reports) {
    columns.push_back({ShortId(report.run()), true, 8});
  }
  columns.push_back({"change", true});
  return columns;
}

std::string Runs(const std::vector<v1::Report>& reports,
                 const TextStyle& style) {
  Table table({{"run"},
               {"name", false, 10},
               {"policy"},
               {"step", true},
               {"state", false, 8},
               {"device", false, 8}});
  for (const v1::Report& report : reports) {
    const v1::Run& run = report.run();
    table.Add({{ShortId(run), Ink::kBold},
               {EscapeLine(run.name())},
               {EscapeLine(run.policy())},
               {absl::StrCat(report.step().index())},
               {StateText(run)},
               {EscapeLine(run.device())}});
  }
  return table.Print(style);
}

std::string Fields(const std::vector<v1::Report>& reports,
                   const TextStyle& style) {
  std::vector<Column> columns = RunColumns(reports, {{"field", false, 20}});
  columns.push_back({""});
  Table table(std::move(columns));
  for (const FieldDiff& diff : DiffFields(reports)) {
    std::vector<Cell> cells = {{EscapeLine(diff.path)}};
    for (const Json& value : diff.values) {
      cells.push_back({ValueText(diff.path, value)});
    }
    cells.push_back(
        {ChangeText(diff.path, diff.values.front(), diff.values.back())});
    cells.push_back({SourceOf(diff.path), Ink::kDim});
    table.Add(std::move(cells));
  }
  return table.empty() ? "" : table.Print(style);
}

std::string Layers(const std::vector<v1::Report>& reports,
                   const TextStyle& style) {
  std::vector<Folded> rows = Fold(DiffLayers(reports), style.all);
  if (rows.empty()) return "";
  const size_t left_out = style.all ? 0 : Limit(&rows);
  Table table(RunColumns(reports, {{"layer", false, 20}, {"op", false, 10}}));
  for (const Folded& row : rows) {
    std::string name = row.name.empty() ? "(outermost)" : EscapeLine(row.name);
    if (row.sites > 1) absl::StrAppend(&name, " (", row.sites, ")");
    std::vector<Cell> cells = {{std::move(name)}, {EscapeLine(row.op)}};
    for (const Folded::Value& value : row.values) {
      cells.push_back({value.seen
                           ? absl::StrCat(EscapeLine(value.action), "  ",
                                          BytesInColumn(value.held_bytes))
                           : "-"});
    }
    const Folded::Value &first = row.values.front(), &last = row.values.back();
    const bool both =
        first.seen && last.seen && first.held_bytes > 0 && row.change() != 0;
    cells.push_back({both ? Change(static_cast<double>(row.change()) /
                                   static_cast<double>(first.held_bytes))
                          : "",
                     row.change() < 0 ? Ink::kGreen : Ink::kRed});
    table.Add(std::move(cells));
  }
  std::string out = table.Print(style);
  if (left_out > 0) {
    absl::StrAppend(&out, "  and ", left_out,
                    " lines with smaller changes; see all by --all\n");
  }
  return out;
}

}  // namespace

std::string DiffToText(const std::vector<v1::Report>& reports,
                       const TextStyle& style) {
  const std::string fields = Fields(reports, style);
  const std::string layers = Layers(reports, style);
  std::string out = Runs(reports, style);
  if (fields.empty() && layers.empty()) {
    return absl::StrCat(out, "\nThe reports do not differ.\n");
  }
  if (!fields.empty()) {
    absl::StrAppend(&out, "\n", Paint(style, Ink::kBold, "Figures that differ"),
                    "\n", fields);
  }
  if (!layers.empty()) {
    absl::StrAppend(&out, "\n", Paint(style, Ink::kBold, "Layers that differ"),
                    "  ",
                    Paint(style, Ink::kDim, "action and held bytes, measured"),
                    "\n", layers);
  }
  return out;
}

}  // namespace invact
