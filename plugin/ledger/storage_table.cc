#include "plugin/ledger/storage_table.h"

#include <algorithm>

namespace invact {

StorageEntry* StorageTable::Find(const void* storage) const {
  StorageEntry* const* entry = entries_.Find(storage);
  return entry == nullptr || (*entry)->holders.empty() ? nullptr : *entry;
}

StorageEntry* StorageTable::Add(const void* storage) {
  // More than half of the table was of no use to any step: as many additions
  // have paid for this.
  if (entries_.size() > 2 * most_ + 64) Sweep();
  if (free_.empty()) free_.push_back(&pool_.emplace_back());
  StorageEntry* entry = free_.back();
  free_.pop_back();
  entry->storage = storage;
  entry->serial = next_serial_++;
  entries_[storage] = entry;
  most_ = std::max(most_, ++held_);
  return entry;
}

void StorageTable::Sweep() {
  for (StorageEntry& entry : pool_) {
    if (entry.storage == nullptr || !entry.holders.empty()) continue;
    entries_.Erase(entry.storage);
    entry.storage = nullptr;
    free_.push_back(&entry);
  }
  most_ = held_;
}

}  // namespace invact
