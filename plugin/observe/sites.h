// The table of call sites and scopes: gives each (scope, number of the save in
// one call) its number, remembers what was found out about it, and mirrors it
// into the memory shared with the relay once that exists.
//
// Threads: externally locked (by the Recorder). Full tables fold what comes
// later into kOtherSite / kRootScope and count it.
#ifndef INVACT_PLUGIN_OBSERVE_SITES_H_
#define INVACT_PLUGIN_OBSERVE_SITES_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "plugin/ledger/storage_table.h"
#include "plugin/observe/scope.h"
#include "plugin/ring/ring_layout.h"
#include "proto/codes.h"

namespace invact {

struct SiteState {
  uint32_t scope;
  uint32_t ordinal;
  Reason declined = Reason::kNone;  // sticks: the site is left alone
  uint32_t claims = 0;              // saves alive now
  bool touched = false;             // saved something in this step
  // Of its last save: allocators like to give a place the same memory again.
  StorageEntry* entry = nullptr;
};

class Sites {
 public:
  Sites();

  // Globs over scope names: there nothing is to be substituted.
  void Exclude(std::vector<std::string> globs);
  // One line for each of them that named no scope yet. Nothing where scopes
  // were folded into others.
  std::vector<std::string> UnmatchedExcludes() const;

  // Starts mirroring, with all that is known already. Once.
  void Attach(SharedRun* shared);

  uint32_t InternScope(std::string_view name, bool block);
  const std::string& ScopeName(uint32_t scope) const {
    return scopes_[scope].name;
  }

  // Forgets why sites of the scope were declined.
  void Renew(uint32_t scope);

  // The site's number; a new one is entered with its dtype and category.
  uint32_t SiteFor(uint32_t scope, uint32_t ordinal, std::string_view dtype,
                   Category category);
  // The same for one entered already, else kNoSite. Mostly the neighbour of the
  // last one asked for, which needs no search.
  uint32_t Known(uint32_t scope, uint32_t ordinal) {
    const uint32_t guess = ++last_;
    if (guess < sites_.size() && sites_[guess].scope == scope &&
        sites_[guess].ordinal == ordinal) {
      return guess;
    }
    const std::vector<uint32_t>& by_ordinal = scopes_[scope].sites;
    last_ = ordinal < by_ordinal.size() ? by_ordinal[ordinal] : kNoSite;
    return last_;
  }
  void SetOp(uint32_t site, std::string_view op);
  // Why the site is left alone; kNone for a site not entered yet, unless its
  // scope is excluded.
  Reason DeclinedAt(uint32_t scope, uint32_t ordinal) const;
  // Without the lock: a stale answer only costs the caller a look with it.
  bool OpKnown(uint32_t site) const {
    return op_known_[site].load(std::memory_order_relaxed);
  }
  // What the save after that of `site` will most likely look at, which has long
  // left the cache since the step before.
  void PrefetchAfter(uint32_t site) const {
    const uint32_t next = site + 1;
    if (next >= sites_.size()) return;
    __builtin_prefetch(&shared_->live.row[next], 1);
    __builtin_prefetch(sites_[next].entry, 1);
  }
  SiteState& At(uint32_t site) { return sites_[site]; }
  uint32_t count() const { return static_cast<uint32_t>(sites_.size()); }
  uint32_t scope_count() const { return static_cast<uint32_t>(scopes_.size()); }

  // Offset in the arena of a text, the same for the same text. 0 when the
  // arena is full or does not exist yet.
  uint32_t Text(std::string_view text);

 private:
  struct Scope {
    std::string name;
    bool block;
    bool excluded;
    std::vector<uint32_t> sites;  // by ordinal, kNoSite: none
  };
  void MirrorScope(uint32_t scope);
  bool Excluded(const std::string& name) const;

  SharedRun* shared_ = nullptr;
  std::vector<std::string> exclude_;
  std::vector<Scope> scopes_;
  std::unordered_map<std::string, uint32_t> scope_numbers_;
  std::vector<SiteState> sites_;
  uint32_t last_ = kNoSite;                        // answer of Known
  std::unique_ptr<std::atomic<bool>[]> op_known_;  // kMaxSites
  std::unordered_map<std::string, uint32_t> texts_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_SITES_H_
