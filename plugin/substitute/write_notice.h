// What every guard does before a write: whatever is held or to be rebuilt in
// place of what torch would keep must not change with it.
//
// Threads: any.
#ifndef INVACT_PLUGIN_SUBSTITUTE_WRITE_NOTICE_H_
#define INVACT_PLUGIN_SUBSTITUTE_WRITE_NOTICE_H_

#include "plugin/guard.h"
#include "plugin/rebuild/write.h"
#include "plugin/substitute/held_output.h"

namespace invact {

inline bool WritesMatter() noexcept {
  return (g_held_outputs.load(std::memory_order_relaxed) > 0 ||
          g_values.load(std::memory_order_relaxed) > 0) &&
         Active() && t_own_work == 0;
}

// nullptr for none.
inline const c10::StorageImpl* WrittenStorage(
    const at::Tensor& written) noexcept {
  if (!written.defined() || !written.has_storage()) return nullptr;
  return written.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl();
}

// `counted` of the writes that the version counter shows may be this one.
inline void BeforeStorageWrite(const c10::StorageImpl* storage,
                               uint32_t counted) noexcept {
  if (storage == nullptr) return;
  MaterialiseBefore(storage, counted);
  if (g_values.load(std::memory_order_relaxed) > 0) {
    RebuildBeforeWrite(storage, counted);
  }
}
inline void BeforeWrite(const at::Tensor& written) noexcept {
  BeforeStorageWrite(WrittenStorage(written), 0);
}
// The same where the write may have been counted already.
inline void BeforeCountedWrite(const at::Tensor& written) noexcept {
  BeforeStorageWrite(WrittenStorage(written), 1);
}
// Before what counts as a write, and only changes the tensor's shape or
// storage.
inline void BeforeChange(const at::Tensor& changed) noexcept {
  const c10::StorageImpl* storage = WrittenStorage(changed);
  if (storage != nullptr && g_values.load(std::memory_order_relaxed) > 0) {
    RebuildBeforeWrite(storage, 0);
  }
}

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_WRITE_NOTICE_H_
