#include "daemon/report/diff.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/report/diff_parts.h"
#include "daemon/report/escape.h"
#include "daemon/report/json_parts.h"
#include "daemon/report/report_facts.h"
#include "daemon/report/table.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

// The value of a key of the layer's JSON in each report.
Json Values(const std::vector<Json>& layers, const char* key) {
  Json out = Json::array();
  for (const Json& layer : layers) {
    out.push_back(layer.is_null() ? Json() : layer[key]);
  }
  return out;
}

Json LayerJson(const LayerDiff& diff) {
  std::vector<Json> layers;
  for (const v1::Layer* layer : diff.layers) {
    layers.push_back(layer == nullptr ? Json() : LayerFields(*layer));
  }
  Json out;
  out["name"] = diff.name;
  out["op"] = diff.op.empty() ? Json() : Json(diff.op);
  out["ordinal"] = diff.ordinal;
  for (const char* key : {"baseline_bytes", "held_bytes", "side_bytes",
                          "eliminated_bytes", "action", "declined"}) {
    out[key] = Values(layers, key);
  }
  return out;
}

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

// Change from the first report to the last, where both are numbers.
Cell ChangeCell(const Json& first, const Json& last) {
  if (!first.is_number() || !last.is_number()) return {};
  const double before = first.get<double>(), now = last.get<double>();
  if (before <= 0 || before == now) return {};
  return {Change((now - before) / before), Ink::kDim};
}

std::vector<Column> RunColumns(const std::vector<v1::Report>& reports,
                               std::vector<Column> columns) {
  for (const v1::Report& report : reports) {
    columns.push_back({ShortId(report.run()), true, 8});
  }
  columns.push_back({"change", true});
  return columns;
}

std::string LayerCell(const v1::Layer* layer) {
  if (layer == nullptr) return "-";
  return absl::StrCat(
      BytesInColumn(layer->held_bytes()), " ",
      EscapeLine(layer->declined().empty() ? layer->action()
                                           : layer->declined()));
}

}  // namespace

std::string DiffToJson(const std::vector<v1::Report>& reports) {
  Json out;
  out["schema"] = "invact.diff/v1";
  out["runs"] = Json::array();
  for (const v1::Report& report : reports) {
    out["runs"].push_back(RunFields(report.run()));
  }
  out["fields"] = Json::array();
  for (FieldDiff& diff : DiffFields(reports)) {
    Json one;
    one["path"] = diff.path;
    one["values"] = std::move(diff.values);
    out["fields"].push_back(std::move(one));
  }
  out["layers"] = Json::array();
  for (const LayerDiff& diff : DiffLayers(reports)) {
    out["layers"].push_back(LayerJson(diff));
  }
  return Dump(out);
}

std::string DiffToText(const std::vector<v1::Report>& reports,
                       const TextStyle& style) {
  Table fields(RunColumns(reports, {{"field", false, 20}}));
  for (const FieldDiff& diff : DiffFields(reports)) {
    std::vector<Cell> cells = {{EscapeLine(diff.path)}};
    for (const Json& value : diff.values) {
      cells.push_back({ValueText(diff.path, value)});
    }
    cells.push_back(ChangeCell(diff.values.front(), diff.values.back()));
    fields.Add(std::move(cells));
  }
  Table layers(RunColumns(reports, {{"layer", false, 20}, {"op", false, 10}}));
  for (const LayerDiff& diff : DiffLayers(reports)) {
    std::vector<Cell> cells = {
        {diff.name.empty() ? "(outermost)" : EscapeLine(diff.name)},
        {EscapeLine(diff.op)}};
    for (const v1::Layer* layer : diff.layers) {
      cells.push_back({LayerCell(layer)});
    }
    layers.Add(std::move(cells));
  }
  if (fields.empty() && layers.empty()) return "The runs do not differ.\n";
  std::string out;
  if (!fields.empty()) {
    absl::StrAppend(&out, Paint(style, Ink::kBold, "Fields that differ"), "\n",
                    fields.Print(style));
  }
  if (!layers.empty()) {
    absl::StrAppend(&out, out.empty() ? "" : "\n",
                    Paint(style, Ink::kBold, "Call sites that differ"),
                    "  held bytes and action, measured\n", layers.Print(style));
  }
  return out;
}

}  // namespace invact
