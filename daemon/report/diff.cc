#include "daemon/report/diff.h"

#include <utility>

#include "daemon/report/diff_parts.h"
#include "daemon/report/json_parts.h"

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

}  // namespace invact
