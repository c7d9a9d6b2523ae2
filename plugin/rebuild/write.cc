#include "plugin/rebuild/write.h"

#include <memory>
#include <mutex>
#include <vector>

#include "plugin/log.h"
#include "plugin/rebuild/decide.h"
#include "plugin/rebuild/dropped.h"
#include "plugin/rebuild/moved_base.h"

namespace invact {

namespace {

using DroppedOnes = std::vector<std::shared_ptr<Dropped>>;

// Under the lock.
DroppedOnes InPlaceOf(const c10::StorageImpl* storage) {
  Value* value = ValueAt(storage);
  if (value == nullptr || ContentOf(*value).plan == nullptr) return {};
  return DroppedOver(storage);
}

// Ends the storage's value unless something is still to be rebuilt from it:
// that is returned, to be rebuilt first. `last`: ends it anyway.
DroppedOnes End(const c10::StorageImpl* storage, uint32_t counted, bool last) {
  Trash trash;
  std::lock_guard lock(RebuildLock());
  Value* value = ValueAt(storage);
  if (value == nullptr) return {};
  DroppedOnes dependents;
  if (value->users > 0 && !last) {
    value->tolerated = counted;
    dependents = DependentsOf(value);
  }
  if (dependents.empty()) EndValue(value, &trash);
  return dependents;
}

ValuePtr BaseAt(const c10::StorageImpl* storage) {
  std::lock_guard lock(RebuildLock());
  return ValuePtr::reclaim_copy(ValueAt(storage));
}

void BeforeWriteTo(const c10::StorageImpl* storage, uint32_t counted) noexcept {
  try {
    DroppedOnes over;
    {
      std::lock_guard lock(RebuildLock());
      over = InPlaceOf(storage);
    }
    for (const auto& dropped : over) dropped->KeepAsked();
    for (;;) {
      const DroppedOnes dependents = End(storage, counted, /*last=*/false);
      if (dependents.empty()) return;
      if (HoldCopyOf(BaseAt(storage))) continue;
      for (const auto& dependent : dependents) dependent->Materialise();
    }
  } catch (const std::exception& error) {
    // No memory, say: the write goes on, and reading what depended on the base
    // fails with an error that says so.
    SayTrouble("rebuild-before-write", error.what());
    End(storage, counted, /*last=*/true);
  }
}

}  // namespace

void RebuildBeforeWrite(const c10::StorageImpl* storage,
                        uint32_t counted) noexcept try {
  if (!storage->resizable()) {  // given to torch, maybe by torch itself
    std::vector<c10::Storage> others;
    {
      std::lock_guard lock(RebuildLock());
      others = StoragesOver(storage);
    }
    for (const c10::Storage& other : others) {
      BeforeWriteTo(other.unsafeGetStorageImpl(), 0);
    }
  }
  BeforeWriteTo(storage, counted);
} catch (const std::exception& error) {
  SayTrouble("rebuild-before-write", error.what());
}

void RebuildBeforeSetData(const at::TensorBase& variable) noexcept try {
  if (!variable.defined() || !variable.has_storage()) return;
  DroppedOnes over;
  {
    std::lock_guard lock(RebuildLock());
    over = InPlaceOf(variable.unsafeGetTensorImpl()
                         ->unsafe_storage()
                         .unsafeGetStorageImpl());
  }
  for (const auto& dropped : over) {
    if (dropped->Variable().is_same(variable)) dropped->KeepAsked();
  }
} catch (const std::exception& error) {
  SayTrouble("rebuild-before-set-data", error.what());
}

}  // namespace invact
