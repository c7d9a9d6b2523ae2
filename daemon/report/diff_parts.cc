#include "daemon/report/diff_parts.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace invact {
namespace {

// Never the same in two runs, so no news. They stand in "runs".
const std::set<std::string>& OwnFields() {
  static const auto* fields = new std::set<std::string>{
      "run.id", "run.job_id", "run.pid", "run.started_at", "run.ended_at"};
  return *fields;
}

using Leaves = std::vector<std::pair<std::string, Json>>;

void Flatten(const std::string& path, const Json& json, Leaves* out) {
  if (!json.is_object()) {
    if (!OwnFields().contains(path)) out->emplace_back(path, json);
    return;
  }
  for (const auto& [key, value] : json.items()) {
    Flatten(path.empty() ? key : absl::StrCat(path, ".", key), value, out);
  }
}

Leaves LeavesOf(const v1::Report& report) {
  v1::Report without_rows = report;
  without_rows.clear_layers();
  without_rows.clear_declines();
  without_rows.clear_warnings();
  Json json = ReportFields(without_rows);
  json.erase("layers");
  json.erase("declines");
  json.erase("warnings");
  Leaves out;
  Flatten("", json, &out);
  for (const v1::Decline& decline : report.declines()) {
    const std::string path = absl::StrCat("declines.", decline.reason());
    out.emplace_back(path + ".sites", decline.sites());
    out.emplace_back(path + ".bytes", decline.bytes());
  }
  return out;
}

bool Same(const v1::Layer* a, const v1::Layer* b) {
  if (a == nullptr || b == nullptr) return a == b;
  const auto figures = [](const v1::Layer& layer) {
    return std::tuple(layer.baseline_bytes(), layer.held_bytes(),
                      layer.side_bytes(), layer.action(), layer.declined());
  };
  return figures(*a) == figures(*b);
}

}  // namespace

std::vector<FieldDiff> DiffFields(const std::vector<v1::Report>& reports) {
  std::vector<FieldDiff> all;
  std::map<std::string, size_t> place;
  for (size_t i = 0; i < reports.size(); ++i) {
    for (auto& [path, value] : LeavesOf(reports[i])) {
      const auto [at, added] = place.try_emplace(path, all.size());
      if (added) {
        all.push_back({path, std::vector<Json>(reports.size())});
      }
      all[at->second].values[i] = std::move(value);
    }
  }
  std::erase_if(all, [](const FieldDiff& diff) {
    return std::all_of(
        diff.values.begin(), diff.values.end(),
        [&](const Json& value) { return value == diff.values.front(); });
  });
  return all;
}

std::vector<LayerDiff> DiffLayers(const std::vector<v1::Report>& reports) {
  std::vector<LayerDiff> all;
  std::map<std::tuple<std::string, std::string, int32_t>, size_t> place;
  for (size_t i = 0; i < reports.size(); ++i) {
    for (const v1::Layer& layer : reports[i].layers()) {
      const auto [at, added] = place.try_emplace(
          {layer.name(), layer.op(), layer.ordinal()}, all.size());
      if (added) {
        all.push_back({layer.name(), layer.op(), layer.ordinal(),
                       std::vector<const v1::Layer*>(reports.size())});
      }
      all[at->second].layers[i] = &layer;
    }
  }
  std::erase_if(all, [](const LayerDiff& diff) {
    return std::all_of(diff.layers.begin(), diff.layers.end(),
                       [&](const v1::Layer* layer) {
                         return Same(layer, diff.layers.front());
                       });
  });
  return all;
}

}  // namespace invact
