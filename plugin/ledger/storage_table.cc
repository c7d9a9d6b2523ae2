#include "plugin/ledger/storage_table.h"

namespace invact {

StorageEntry* StorageTable::Find(const void* storage) const {
  StorageEntry* const* entry = entries_.Find(storage);
  return entry == nullptr ? nullptr : *entry;
}

StorageEntry* StorageTable::FindOrAdd(const void* storage) {
  StorageEntry*& entry = entries_[storage];
  if (entry != nullptr) return entry;
  if (free_.empty()) {
    entry = &pool_.emplace_back();
  } else {
    entry = free_.back();
    free_.pop_back();
  }
  entry->storage = storage;
  entry->serial = next_serial_++;
  entry->bytes = 0;
  entry->asked = entry->held = 0;
  entry->category = Category::kActivation;
  entry->asked_owner = entry->held_owner = UINT32_MAX;
  entry->holders.clear();  // keeps its capacity: no allocation next time
  return entry;
}

void StorageTable::Erase(StorageEntry* entry) {
  entries_.Erase(entry->storage);
  free_.push_back(entry);
}

}  // namespace invact
