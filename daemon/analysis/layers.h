// One line a call site: what the step's rows say, with the names that the run
// recorded for their sites.
//
// Layer.ordinal is the place of the save inside one call of its module, as the
// plugin counts it: (name, ordinal) names a site before its op is known, and
// stays the same from step to step.
#ifndef INVACT_DAEMON_ANALYSIS_LAYERS_H_
#define INVACT_DAEMON_ANALYSIS_LAYERS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "daemon/store/stored_run.h"

namespace invact {

struct LayerTable {
  std::vector<v1::Layer> layers;  // in the order in which sites first saved
  // Sums of the layers.
  int64_t baseline_bytes = 0;
  int64_t held_bytes = 0;
  int64_t side_bytes = 0;
  // Eliminated bytes; holds every action of proto/codes.h, at 0 if need be,
  // and those of newer plugins.
  std::map<std::string, int64_t> by_action;
  // Baseline bytes by the category of the site.
  std::map<std::string, int64_t> by_category;
  int64_t unnamed_rows = 0;  // rows of sites that were never described
};

LayerTable BuildLayers(const StoredRun& run, const v1::SiteTable& table);

// Adds a layer to the table and its sums.
void AddLayer(v1::Layer layer, LayerTable* table);

}  // namespace invact

#endif  // INVACT_DAEMON_ANALYSIS_LAYERS_H_
