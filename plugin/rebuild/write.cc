#include "plugin/rebuild/write.h"

#include <memory>
#include <mutex>
#include <vector>

#include "plugin/log.h"
#include "plugin/rebuild/dropped.h"

namespace invact {

namespace {

// Ends the storage's value unless something is still to be rebuilt from it:
// that is returned, to be rebuilt first. `last`: ends it anyway.
std::vector<std::shared_ptr<Dropped>> End(const c10::StorageImpl* storage,
                                          uint32_t counted, bool last) {
  Trash trash;
  std::lock_guard lock(RebuildLock());
  Value* value = ValueAt(storage);
  if (value == nullptr) return {};
  std::vector<std::shared_ptr<Dropped>> dependents;
  if (value->users > 0 && !last) {
    value->tolerated = counted;
    dependents = DependentsOf(value);
  }
  if (dependents.empty()) EndValue(value, &trash);
  return dependents;
}

}  // namespace

void RebuildBeforeWrite(const at::Tensor& written, uint32_t counted) noexcept {
  if (!written.defined() || !written.has_storage()) return;
  const c10::StorageImpl* storage =
      written.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl();
  try {
    for (;;) {
      const auto dependents = End(storage, counted, /*last=*/false);
      if (dependents.empty()) return;
      for (const auto& dependent : dependents) dependent->Materialise();
    }
  } catch (const std::exception& error) {
    // No memory, say: the write goes on, and reading what depended on the base
    // fails with an error that says so.
    SayTrouble("rebuild-before-write", error.what());
    End(storage, counted, /*last=*/true);
  }
}

}  // namespace invact
