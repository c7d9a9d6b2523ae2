// Which storages autograd holds now, and for whom: a hash table from the
// address of a StorageImpl to an entry with its holders.
//
// An address stays unique while its entry lives, because whoever adds a holder
// keeps at least a weak reference to the StorageImpl (a weak reference frees
// the data but not the address). Entries come from a free list and never move.
//
// Threads: externally locked (by the Recorder). Owner: the Ledger.
#ifndef INVACT_PLUGIN_LEDGER_STORAGE_TABLE_H_
#define INVACT_PLUGIN_LEDGER_STORAGE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "plugin/pointer_map.h"
#include "proto/codes.h"

namespace invact {

// One call site's claim on a storage. `asked`: saves that PyTorch would have
// made (baseline). `held`: saves that really keep the storage.
struct Holder {
  uint32_t site;
  uint32_t asked;
  uint32_t held;
};

struct StorageEntry {
  const void* storage;  // StorageImpl
  uint64_t serial;      // never used twice in a process
  int64_t bytes;
  uint32_t asked;  // sum over the holders
  uint32_t held;
  Category category;
  // The sites whose rows carry the bytes now, kNoSite: none.
  uint32_t asked_owner;
  uint32_t held_owner;
  std::vector<Holder> holders;  // in the order of their first save
};

class StorageTable {
 public:
  // nullptr when the storage has no entry.
  StorageEntry* Find(const void* storage) const;
  // Gives the entry, a new one (bytes 0, no holder) where there is none.
  StorageEntry* FindOrAdd(const void* storage);
  // The entry must have no holder left.
  void Erase(StorageEntry* entry);
  size_t size() const { return entries_.size(); }
  // f(StorageEntry*) for each; f must not add or erase.
  template <typename F>
  void ForEach(F f) const {
    entries_.ForEach(f);
  }

 private:
  PointerMap<StorageEntry*> entries_;
  uint64_t next_serial_ = 1;
  std::deque<StorageEntry> pool_;
  std::vector<StorageEntry*> free_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_LEDGER_STORAGE_TABLE_H_
