// The account of saved bytes: who asked autograd to keep which storage, who
// really keeps it, and what each call site's share is. Definitions:
// docs/accounting.md.
//
//   baseline = bytes of the unique storages that some node asked to keep
//   held     = bytes of the unique storages really kept + side bytes
//
// A storage's bytes stand in the row of one site, its owner: the first site
// that asked for it and keeps it, else the first that asked (baseline) or
// keeps it (held). So a storage that a substitution keeps in place of another
// one moves to the row of the layer that saves it anyway, as soon as there is
// one. Rows therefore always add up to the totals, to the byte.
//
// Threads: externally locked (by the Recorder). Rows live in memory shared
// with the relay, which may read them at any moment.
#ifndef INVACT_PLUGIN_LEDGER_LEDGER_H_
#define INVACT_PLUGIN_LEDGER_LEDGER_H_

#include <cstdint>

#include "plugin/ledger/storage_table.h"
#include "plugin/ring/ring_layout.h"
#include "proto/codes.h"

namespace invact {

// What a save claims: kBoth is PyTorch's own way, kAsked and kHeld are the two
// halves of a substitution.
enum class Claim : uint8_t { kAsked, kHeld, kBoth };

class Ledger {
 public:
  // rows: kMaxSites of them, zeroed; they must outlive the ledger.
  explicit Ledger(SiteRow* rows) : rows_(rows) {}

  // `bytes` of an entry that exists already is corrected when the storage was
  // resized meanwhile. The category is that of the first save. `guess`: an
  // entry that it may be.
  StorageEntry* Add(const void* storage, int64_t bytes, Category category,
                    uint32_t site, Claim claim, StorageEntry* guess = nullptr);
  void Remove(StorageEntry* entry, uint32_t site, Claim claim);

  // Asks the size of every storage anew: a job may have resized it after it
  // was saved. Calls changed(entry) for each whose size differs now.
  template <typename BytesOf, typename Changed>
  void Resize(BytesOf bytes_of, Changed changed) {
    table_.ForEach([&](StorageEntry* entry) {
      const int64_t bytes = bytes_of(entry->storage);
      if (bytes == entry->bytes) return;
      Post(*entry, bytes - entry->bytes);
      entry->bytes = bytes;
      changed(*entry);
    });
  }

  // f(StorageEntry*) for each storage that was asked for and is kept by nobody;
  // f must not add or remove.
  template <typename F>
  void ForEachLetGo(F f) const {
    table_.ForEach([&](StorageEntry* entry) {
      if (entry->held_owner == kNoSite) f(entry);
    });
  }

  // Data that only a substitution keeps (masks). Negative: dropped.
  void AddSide(uint32_t site, int64_t bytes);

  StorageEntry* Find(const void* storage) const { return table_.Find(storage); }

  int64_t baseline_bytes() const { return baseline_; }
  int64_t held_bytes() const { return held_; }
  int64_t side_bytes() const { return side_; }
  int64_t category_bytes(Category c) const {
    return by_category_[static_cast<size_t>(c)];
  }
  size_t storages() const { return table_.size(); }

 private:
  void Post(const StorageEntry& entry, int64_t bytes);
  static void ChooseOwners(StorageEntry* entry);

  StorageTable table_;
  SiteRow* rows_;
  int64_t baseline_ = 0;
  int64_t held_ = 0;
  int64_t side_ = 0;
  int64_t by_category_[4] = {};
};

}  // namespace invact

#endif  // INVACT_PLUGIN_LEDGER_LEDGER_H_
