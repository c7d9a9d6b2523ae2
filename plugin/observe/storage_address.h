// Keeps the address of a StorageImpl from being used again, not its bytes: a
// tensor may be given another storage (`x.data = ...`) while the ledger still
// knows it by the old one.
#ifndef INVACT_PLUGIN_OBSERVE_STORAGE_ADDRESS_H_
#define INVACT_PLUGIN_OBSERVE_STORAGE_ADDRESS_H_

#include <c10/core/Storage.h>

namespace invact {

class StorageAddress {
 public:
  StorageAddress() = default;
  explicit StorageAddress(const c10::Storage& storage)
      : storage_(storage.unsafeGetStorageImpl()) {
    c10::raw::weak_intrusive_ptr::incref(storage_);
  }
  StorageAddress(const StorageAddress& other) : storage_(other.storage_) {
    if (storage_ != nullptr) c10::raw::weak_intrusive_ptr::incref(storage_);
  }
  StorageAddress(StorageAddress&& other) noexcept
      : storage_(std::exchange(other.storage_, nullptr)) {}
  StorageAddress& operator=(StorageAddress&& other) noexcept {
    std::swap(storage_, other.storage_);
    return *this;
  }
  ~StorageAddress() {
    if (storage_ != nullptr) c10::raw::weak_intrusive_ptr::decref(storage_);
  }

  // nullptr for none.
  const c10::StorageImpl* get() const { return storage_; }
  // A reference to it, null when its bytes are gone.
  c10::Storage Take() const {
    return storage_ == nullptr
               ? c10::Storage()
               : c10::Storage(
                     c10::weak_intrusive_ptr<c10::StorageImpl>::reclaim_copy(
                         storage_)
                         .lock());
  }

 private:
  c10::StorageImpl* storage_ = nullptr;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_STORAGE_ADDRESS_H_
