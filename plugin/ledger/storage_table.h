// Which storages autograd holds now, and for whom: a hash table from the
// address of a StorageImpl to an entry with its holders.
//
// An address stays unique while its entry has holders, because whoever adds one
// keeps at least a weak reference to the StorageImpl (a weak reference frees
// the data but not the address). Entries never move. One without holders stays
// where it is for a while: the next step mostly saves at the same addresses.
//
// Threads: externally locked (by the Recorder). Owner: the Ledger.
#ifndef INVACT_PLUGIN_LEDGER_STORAGE_TABLE_H_
#define INVACT_PLUGIN_LEDGER_STORAGE_TABLE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "plugin/ledger/holders.h"
#include "plugin/pointer_map.h"
#include "proto/codes.h"

namespace invact {

// Two lines of the cache; the second is needed from the second holder on.
struct alignas(64) StorageEntry {
  const void* storage;  // StorageImpl
  uint64_t serial;      // never used twice in a process
  int64_t bytes;
  // The sites whose rows carry the bytes now, kNoSite: none.
  uint32_t asked_owner;
  uint32_t held_owner;
  Category category;
  Holders holders;
};

class StorageTable {
 public:
  // nullptr when nobody holds the storage.
  StorageEntry* Find(const void* storage) const;
  // Gives the entry; one without holders is new (serial, else as it was left)
  // and has to get one. `guess`: any entry of this table or nullptr; the right
  // one spares the search.
  StorageEntry* FindOrAdd(const void* storage, StorageEntry* guess = nullptr) {
    StorageEntry* entry = guess;
    if (entry == nullptr || entry->storage != storage) {
      entry = entries_[storage];
      if (entry == nullptr) return Add(storage);
    }
    if (entry->holders.empty()) {
      entry->serial = next_serial_++;
      most_ = std::max(most_, ++held_);
    }
    return entry;
  }
  // The entry has no holder left.
  void Retire(StorageEntry*) { --held_; }
  size_t size() const { return held_; }
  // f(StorageEntry*) for each that has holders; f must not add or retire.
  template <typename F>
  void ForEach(F f) const {
    entries_.ForEach([&](StorageEntry* entry) {
      if (!entry->holders.empty()) f(entry);
    });
  }

 private:
  StorageEntry* Add(const void* storage);
  void Sweep();

  PointerMap<StorageEntry*> entries_;
  size_t held_ = 0;  // entries with holders
  size_t most_ = 0;  // of these, since the last sweep
  uint64_t next_serial_ = 1;
  std::deque<StorageEntry> pool_;
  std::vector<StorageEntry*> free_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_LEDGER_STORAGE_TABLE_H_
