// The notice of writes: what is to be rebuilt from a base is rebuilt before the
// base is written.
//
// Threads: any; not under RebuildLock().
#ifndef INVACT_PLUGIN_REBUILD_WRITE_H_
#define INVACT_PLUGIN_REBUILD_WRITE_H_

#include <ATen/core/Tensor.h>

#include "plugin/rebuild/value_table.h"

namespace invact {

// `written` is about to be written; `counted` of the writes that its version
// counter shows may be this one.
void RebuildBeforeWrite(const at::Tensor& written, uint32_t counted) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_WRITE_H_
