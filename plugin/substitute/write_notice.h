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

inline void BeforeWrite(const at::Tensor& written) noexcept {
  MaterialiseBefore(written);
  if (g_values.load(std::memory_order_relaxed) > 0) {
    RebuildBeforeWrite(written, 0);
  }
}
// The same where the write may have been counted already.
inline void BeforeCountedWrite(const at::Tensor& written) noexcept {
  MaterialiseCounted(written);
  if (g_values.load(std::memory_order_relaxed) > 0) {
    RebuildBeforeWrite(written, 1);
  }
}
// Before what counts as a write, and only changes the tensor's shape or
// storage.
inline void BeforeChange(const at::Tensor& changed) noexcept {
  if (g_values.load(std::memory_order_relaxed) > 0) {
    RebuildBeforeWrite(changed, 0);
  }
}

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_WRITE_NOTICE_H_
