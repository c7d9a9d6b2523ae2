#include "plugin/ledger/ledger.h"

namespace invact {

namespace {

void Count(Holder* holder, Claim claim, int32_t by) {
  if (claim != Claim::kHeld) holder->asked += by;
  if (claim != Claim::kAsked) holder->held += by;
}

}  // namespace

// Adds to the totals and to the rows of the entry's owners.
void Ledger::Post(const StorageEntry& entry, int64_t bytes) {
  if (entry.asked_owner != kNoSite) {
    baseline_ += bytes;
    by_category_[static_cast<size_t>(entry.category)] += bytes;
    rows_[entry.asked_owner].baseline_bytes += bytes;
  }
  if (entry.held_owner != kNoSite) {
    held_ += bytes;
    rows_[entry.held_owner].held_bytes += bytes;
  }
}

void Ledger::ChooseOwners(StorageEntry* entry) {
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
}

StorageEntry* Ledger::Add(const void* storage, int64_t bytes, Category category,
                          uint32_t site, Claim claim, StorageEntry* guess) {
  StorageEntry* entry = table_.FindOrAdd(storage, guess);
  if (entry->holders.empty()) {
    entry->category = category;
    entry->bytes = bytes;
    Count(entry->holders.Add(site), claim, 1);
    entry->asked_owner = claim != Claim::kHeld ? site : kNoSite;
    entry->held_owner = claim != Claim::kAsked ? site : kNoSite;
    Post(*entry, bytes);
    return entry;
  }
  Holder* holder = entry->holders.Of(site);
  // A site that asked for it and keeps it owns it before any later one.
  const bool owned = entry->asked_owner == entry->held_owner;
  if (owned && holder == nullptr && bytes == entry->bytes) {
    Count(entry->holders.Add(site), claim, 1);
    return entry;
  }
  Post(*entry, -entry->bytes);
  entry->bytes = bytes;
  if (holder == nullptr) holder = entry->holders.Add(site);
  Count(holder, claim, 1);
  ChooseOwners(entry);
  Post(*entry, bytes);
  return entry;
}

void Ledger::Remove(StorageEntry* entry, uint32_t site, Claim claim) {
  const bool owned = entry->asked_owner == entry->held_owner;
  Holder* holder = entry->holders.Of(site);
  Count(holder, claim, -1);
  const bool kept = holder->asked > 0 && holder->held > 0;
  if (holder->asked == 0 && holder->held == 0) entry->holders.Remove(holder);
  // The owner is who it was.
  if (owned && (kept || site != entry->asked_owner)) return;
  Post(*entry, -entry->bytes);
  if (entry->holders.empty()) {
    table_.Retire(entry);
    return;
  }
  ChooseOwners(entry);
  Post(*entry, entry->bytes);
}

void Ledger::AddSide(uint32_t site, int64_t bytes) {
  side_ += bytes;
  held_ += bytes;
  rows_[site].side_bytes += bytes;
  rows_[site].held_bytes += bytes;
}

}  // namespace invact
