// Which storages to hold so that a value can be rebuilt, for fewer bytes than
// it has itself.
//
// Free are parameters and buffers, what saved tensors keep as torch would, what
// is held for another plan, and what is itself to be rebuilt. Anything else
// costs its own bytes or, where that is less, what its recipe's inputs cost.
// What costs too much memory traffic for what it saves is left alone.
//
// Threads: under RebuildLock().
#ifndef INVACT_PLUGIN_REBUILD_DECIDE_H_
#define INVACT_PLUGIN_REBUILD_DECIDE_H_

#include "plugin/rebuild/value.h"

namespace invact {

// Recipes between a value and its bases, at most.
inline constexpr int kMaxDepth = 16;

// Bytes to be read and written to rebuild a value, over its own, at most. One
// op takes two, a sum of three tensors four; each op that no kernel can have
// together with its neighbours counts for itself.
inline constexpr int64_t kMostTraffic = 4;

// Whose contents `value` has: itself or its twin.
inline Value& ContentOf(Value& value) {
  return value.twin.defined() ? *value.twin : value;
}

// Whether JoinPlan would be kNone.
bool CanRebuild(Value& value);
// One saved tensor more depends on the plan of ContentOf(value), which is made
// where there is none. Else why not: NO_CHEAPER_BASE, REBUILD_TOO_SLOW.
Reason JoinPlan(Value& value, Trash* trash);
// It depends no more.
void LeavePlan(Value& content, Trash* trash);

// A saved tensor keeps the storage of `value`, as torch would; keeps it no
// more.
void Keep(Value& value, Trash* trash);

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_DECIDE_H_
