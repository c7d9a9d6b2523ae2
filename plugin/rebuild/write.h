// The notice of writes: what is to be rebuilt from a base is rebuilt before the
// base is written, and what is to be rebuilt in place of a storage is held
// again before that storage is.
//
// Threads: any; not under RebuildLock().
#ifndef INVACT_PLUGIN_REBUILD_WRITE_H_
#define INVACT_PLUGIN_REBUILD_WRITE_H_

#include <ATen/core/Tensor.h>

#include "plugin/rebuild/value_table.h"

namespace invact {

// `storage` is about to be written or resized; `counted` of the writes that its
// version counter shows may be this one.
void RebuildBeforeWrite(const c10::StorageImpl* storage,
                        uint32_t counted) noexcept;

// `variable` is about to be given other data (`y.data = ...`).
void RebuildBeforeSetData(const at::TensorBase& variable) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_WRITE_H_
