// A value that is made by a chain of pointwise ops, as one kernel of
// plugin/fuse.
//
// Threads: any; not under RebuildLock().
#ifndef INVACT_PLUGIN_REBUILD_CHAIN_H_
#define INVACT_PLUGIN_REBUILD_CHAIN_H_

#include "plugin/rebuild/value.h"

namespace invact {

// The contents of `value`, and on the way of those that it leads by and that
// saved tensors wait for, which are kept for them. Null where the value is made
// by one op only, or no kernel of its chain is ready: it is then to be made op
// by op. Throws what Obtain throws.
c10::Storage ObtainFused(const ValuePtr& value);

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_CHAIN_H_
