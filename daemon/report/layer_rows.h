// Layers folded into lines that fit a screen: the layers of equal blocks
// ("model.layers.0.mlp", "model.layers.1.mlp", ...) become one line. Internal
// to this folder.
#ifndef INVACT_DAEMON_REPORT_LAYER_ROWS_H_
#define INVACT_DAEMON_REPORT_LAYER_ROWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "invact/v1/run.pb.h"

namespace invact {

// The name with its numbers replaced: "model.layers.*.mlp.act".
std::string BlockPattern(const std::string& name);

struct LayerRow {
  std::string name;  // inside a group: below the group's name, maybe ""
  std::string op;
  std::string action;
  std::string declined;
  int64_t layers = 0;  // distinct module paths
  int64_t sites = 0;
  int64_t baseline_bytes = 0;
  int64_t held_bytes = 0;
};

// A list of blocks with the lines of what is inside, or one line of its own.
struct LayerGroup {
  std::string name;    // "model.layers.*", "" for a line of its own
  int64_t blocks = 0;  // members of the list that saved something
  std::vector<LayerRow> rows;
  int64_t baseline_bytes = 0;
  int64_t held_bytes = 0;
};

struct FoldedLayers {
  std::vector<LayerGroup> groups;  // in the order of the layers
  int64_t silent_sites = 0;  // save nothing of their own, not among the rows
  int64_t small_rows = 0;    // left out as too many, added up here
  int64_t small_baseline_bytes = 0;
  int64_t small_held_bytes = 0;
};

// Nothing is folded while there are at most `plain_rows` lines without it; at
// most `most_rows` lines are kept, the largest.
FoldedLayers FoldLayers(const v1::Report& report, size_t plain_rows = 24,
                        size_t most_rows = 40);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_LAYER_ROWS_H_
