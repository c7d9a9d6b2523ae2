#include "plugin/ledger/storage_table.h"

namespace invact {

namespace {
constexpr size_t kFirstSlots = 1024;
}

StorageTable::StorageTable() : slots_(kFirstSlots, nullptr) {}

// Where the storage is, or the empty slot where it would go.
size_t StorageTable::Slot(const void* storage) const {
  const size_t mask = slots_.size() - 1;
  // Heap addresses are multiples of 16; the multiplier spreads the rest.
  size_t slot =
      (reinterpret_cast<uintptr_t>(storage) >> 4) * 0x9E3779B97F4A7C15ull >>
          20 &
      mask;
  while (slots_[slot] != nullptr && slots_[slot]->storage != storage) {
    slot = (slot + 1) & mask;
  }
  return slot;
}

StorageEntry* StorageTable::Find(const void* storage) const {
  return slots_[Slot(storage)];
}

StorageEntry* StorageTable::FindOrAdd(const void* storage) {
  size_t slot = Slot(storage);
  if (slots_[slot] != nullptr) return slots_[slot];
  if ((size_ + 1) * 2 > slots_.size()) {
    Grow();
    slot = Slot(storage);
  }
  StorageEntry* entry;
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
  slots_[slot] = entry;
  ++size_;
  return entry;
}

void StorageTable::Erase(StorageEntry* entry) {
  const size_t mask = slots_.size() - 1;
  size_t hole = Slot(entry->storage);
  slots_[hole] = nullptr;
  --size_;
  free_.push_back(entry);
  // Close the gap: move back every later entry of the run that may move.
  for (size_t next = (hole + 1) & mask; slots_[next] != nullptr;
       next = (next + 1) & mask) {
    StorageEntry* moved = slots_[next];
    slots_[next] = nullptr;
    slots_[Slot(moved->storage)] = moved;
  }
}

void StorageTable::Grow() {
  std::vector<StorageEntry*> old(slots_.size() * 2, nullptr);
  old.swap(slots_);
  for (StorageEntry* entry : old) {
    if (entry != nullptr) slots_[Slot(entry->storage)] = entry;
  }
}

}  // namespace invact
