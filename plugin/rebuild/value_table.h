// Which value a storage has now, by the storage's address.
//
// Threads: under RebuildLock().
#ifndef INVACT_PLUGIN_REBUILD_VALUE_TABLE_H_
#define INVACT_PLUGIN_REBUILD_VALUE_TABLE_H_

#include <atomic>
#include <vector>

#include "plugin/rebuild/value.h"

namespace invact {

// The value that the tensor's storage has now; one without a recipe is entered
// where there is none. Null where the storage is also written under another
// version counter (`x.data`).
ValuePtr RootValue(const at::Tensor& tensor, Trash* trash);

// The storage of `value` has these contents from now on.
void EnterValue(ValuePtr value, Trash* trash);

// Storages known: zero makes every guard a single test.
extern std::atomic<int64_t> g_values;

// That storage's contents are about to change: its value, entered no more.
Value* ValueAt(const c10::StorageImpl* storage);
void EndValue(Value* value, Trash* trash);

// Other storages known here over the same memory: made by DLPack or NumPy. To
// be given up elsewhere than under the lock.
std::vector<c10::Storage> StoragesOver(const c10::StorageImpl* storage);

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_VALUE_TABLE_H_
