// Computes the contents of a value again, below autograd, with the ops that
// made them, on the stream of the caller.
//
// Threads: any; not under RebuildLock().
#ifndef INVACT_PLUGIN_REBUILD_RERUN_H_
#define INVACT_PLUGIN_REBUILD_RERUN_H_

#include "plugin/rebuild/value.h"

namespace invact {

// A storage with the contents of `value`: its own while that is alive. Kept
// for the next caller where saved tensors are still to be rebuilt from it.
// Throws what the ops throw, and c10::Error when a base was written by
// something that announced no write.
c10::Storage Obtain(const ValuePtr& value);

// The same, run again even where its own storage is alive, to be compared with
// that.
c10::Storage ObtainAfresh(const ValuePtr& value);

// The same as Obtain, with the work done on the stream that the value was made
// on, and before whatever the caller's stream does next. Never its own storage:
// that may be what is about to be written.
c10::Storage ObtainBeforeWrite(const ValuePtr& value);

// Another storage with the same bytes.
c10::Storage CopyOf(const c10::Storage& storage);

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_RERUN_H_
