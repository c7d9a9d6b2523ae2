// A parameter that serves as a base and is about to be written or freed, as
// shards are after a forward: a copy of it may take fewer bytes than what is to
// be rebuilt from it.
//
// Threads: any; not under RebuildLock(). Throws what an allocation throws.
#ifndef INVACT_PLUGIN_REBUILD_MOVED_BASE_H_
#define INVACT_PLUGIN_REBUILD_MOVED_BASE_H_

#include "plugin/rebuild/value.h"

namespace invact {

// Holds a copy of `base`, which may be null, to serve in its place. False:
// nothing was done, for it is no parameter or buffer, or no smaller than what
// depends on it.
bool HoldCopyOf(const ValuePtr& base);

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_MOVED_BASE_H_
