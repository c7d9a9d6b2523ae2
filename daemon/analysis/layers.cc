#include "daemon/analysis/layers.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "proto/codes.h"

namespace invact {

void AddLayer(v1::Layer layer, LayerTable* table) {
  layer.set_eliminated_bytes(layer.baseline_bytes() - layer.held_bytes());
  table->baseline_bytes += layer.baseline_bytes();
  table->held_bytes += layer.held_bytes();
  table->side_bytes += layer.side_bytes();
  table->by_action[layer.action()] += layer.eliminated_bytes();
  table->by_category[layer.category()] += layer.baseline_bytes();
  table->layers.push_back(std::move(layer));
}

LayerTable BuildLayers(const StoredRun& run, const v1::SiteTable& table) {
  LayerTable out;
  for (std::string_view action : codes::kActionNames) {
    out.by_action[std::string(action)] = 0;
  }
  std::unordered_map<uint32_t, const v1::Scope*> scopes;
  for (const v1::Scope& scope : run.scopes) scopes[scope.id()] = &scope;
  std::unordered_map<uint32_t, const v1::Site*> sites;
  for (const v1::Site& site : run.sites) sites[site.id()] = &site;

  std::vector<const v1::SiteRow*> rows;
  for (const v1::SiteRow& row : table.rows()) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const v1::SiteRow* a, const v1::SiteRow* b) {
                     return a->site() < b->site();
                   });
  for (const v1::SiteRow* row : rows) {
    v1::Layer layer;
    const auto site = sites.find(row->site());
    const auto scope =
        site == sites.end() ? scopes.end() : scopes.find(site->second->scope());
    if (scope == scopes.end()) {
      ++out.unnamed_rows;
      layer.set_name("(unknown)");
      layer.set_ordinal(static_cast<int32_t>(row->site()));
    } else {
      layer.set_name(scope->second->name());
      layer.set_ordinal(static_cast<int32_t>(site->second->pack_ordinal()));
    }
    if (site != sites.end()) {
      layer.set_op(site->second->op());
      layer.set_dtype(site->second->dtype());
      layer.set_category(site->second->category());
    }
    layer.set_baseline_bytes(row->baseline_bytes());
    layer.set_held_bytes(row->held_bytes());
    layer.set_side_bytes(row->side_bytes());
    layer.set_action(row->action());
    layer.set_declined(row->declined());
    layer.set_shared(row->shared());
    AddLayer(std::move(layer), &out);
  }
  return out;
}

}  // namespace invact
