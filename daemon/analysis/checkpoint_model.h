// What full activation checkpointing of the same step would hold and cost:
// the column that everything else is compared with. Modelled from what the
// run recorded of its blocks; docs/accounting.md has the formulas.
//
//   held            = inputs of the blocks + baseline of what no block owns
//   recompute_peak  = baseline of the largest block, one call: it is there
//                     again, whole, while its backward runs
//   extra time      = forward time of the blocks / time of the step
#ifndef INVACT_DAEMON_ANALYSIS_CHECKPOINT_MODEL_H_
#define INVACT_DAEMON_ANALYSIS_CHECKPOINT_MODEL_H_

#include "daemon/analysis/layers.h"
#include "daemon/store/stored_run.h"

namespace invact {

// Blocks are the members of nn.ModuleList and nn.Sequential that ran in the
// step, one list or several; of all ways to choose lists that do not contain
// each other, the one that needs the least memory (held + recompute peak) is
// looked for from the best list on. Everything is unset where the step ran no
// blocks or did not reach its backward, and where the job checkpoints already.
v1::Checkpoint ModelCheckpoint(const StoredRun& run, const v1::SiteTable& table,
                               const LayerTable& layers);

}  // namespace invact

#endif  // INVACT_DAEMON_ANALYSIS_CHECKPOINT_MODEL_H_
