// A value that is made by a chain of pointwise ops, as one kernel of
// plugin/fuse.
//
// Threads: any; not under RebuildLock().
#ifndef INVACT_PLUGIN_REBUILD_CHAIN_H_
#define INVACT_PLUGIN_REBUILD_CHAIN_H_

#include <optional>
#include <utility>
#include <vector>

#include "plugin/fuse/program.h"
#include "plugin/rebuild/value.h"

namespace invact {

struct Chain {
  fuse::Program program;
  std::vector<std::pair<ValuePtr, Layout>> inputs;
  std::vector<ValuePtr> outputs;
};

// The ops that make `value`, as one program, with those on the way that saved
// tensors wait for as outputs. Nothing where a kernel can't have it, or it is
// one op only. Under RebuildLock().
std::optional<Chain> BuildChain(const ValuePtr& value);

// The contents of `value`, and on the way of those that it leads by and that
// saved tensors wait for, which are kept for them. Null where the value is made
// by one op only, or no kernel of its chain is ready: it is then to be made op
// by op. Throws what Obtain throws.
c10::Storage ObtainFused(const ValuePtr& value);

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_CHAIN_H_
