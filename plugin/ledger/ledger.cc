#include "plugin/ledger/ledger.h"

namespace invact {

namespace {

Holder* HolderOf(StorageEntry* entry, uint32_t site) {
  for (Holder& holder : entry->holders) {
    if (holder.site == site) return &holder;
  }
  return nullptr;
}

}  // namespace

// Takes the entry's bytes out of the totals and of its owners' rows.
void Ledger::Unbook(const StorageEntry& entry) {
  if (entry.asked_owner != kNoSite) {
    baseline_ -= entry.bytes;
    by_category_[static_cast<size_t>(entry.category)] -= entry.bytes;
    rows_[entry.asked_owner].baseline_bytes -= entry.bytes;
  }
  if (entry.held_owner != kNoSite) {
    held_ -= entry.bytes;
    rows_[entry.held_owner].held_bytes -= entry.bytes;
  }
}

// Chooses the owners anew and adds the bytes there.
void Ledger::Book(StorageEntry* entry) {
  uint32_t both = kNoSite, asked = kNoSite, held = kNoSite;
  for (const Holder& holder : entry->holders) {
    if (asked == kNoSite && holder.asked > 0) asked = holder.site;
    if (held == kNoSite && holder.held > 0) held = holder.site;
    if (both == kNoSite && holder.asked > 0 && holder.held > 0) {
      both = holder.site;
    }
  }
  entry->asked_owner = both != kNoSite ? both : asked;
  entry->held_owner = both != kNoSite ? both : held;
  if (entry->asked_owner != kNoSite) {
    baseline_ += entry->bytes;
    by_category_[static_cast<size_t>(entry->category)] += entry->bytes;
    rows_[entry->asked_owner].baseline_bytes += entry->bytes;
  }
  if (entry->held_owner != kNoSite) {
    held_ += entry->bytes;
    rows_[entry->held_owner].held_bytes += entry->bytes;
  }
}

StorageEntry* Ledger::Add(const void* storage, int64_t bytes, Category category,
                          uint32_t site, Claim claim) {
  StorageEntry* entry = table_.FindOrAdd(storage);
  if (entry->holders.empty()) {
    entry->category = category;
    entry->bytes = bytes;
  } else {
    Unbook(*entry);
    entry->bytes = bytes;
  }
  Holder* holder = HolderOf(entry, site);
  if (holder == nullptr) {
    holder = &entry->holders.emplace_back(Holder{site, 0, 0});
  }
  if (claim != Claim::kHeld) {
    ++holder->asked;
    ++entry->asked;
  }
  if (claim != Claim::kAsked) {
    ++holder->held;
    ++entry->held;
  }
  Book(entry);
  return entry;
}

void Ledger::Remove(StorageEntry* entry, uint32_t site, Claim claim) {
  Unbook(*entry);
  Holder* holder = HolderOf(entry, site);
  if (claim != Claim::kHeld) {
    --holder->asked;
    --entry->asked;
  }
  if (claim != Claim::kAsked) {
    --holder->held;
    --entry->held;
  }
  if (holder->asked == 0 && holder->held == 0) {
    entry->holders.erase(entry->holders.begin() +
                         (holder - entry->holders.data()));
  }
  if (entry->holders.empty()) {
    table_.Erase(entry);
  } else {
    Book(entry);
  }
}

void Ledger::AddSide(uint32_t site, int64_t bytes) {
  side_ += bytes;
  held_ += bytes;
  rows_[site].side_bytes += bytes;
  rows_[site].held_bytes += bytes;
}

}  // namespace invact
