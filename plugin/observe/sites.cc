#include "plugin/observe/sites.h"

#include <algorithm>
#include <cstring>

#include "plugin/config.h"

namespace invact {

namespace {
// One module call that saves more than this folds the rest into one site.
constexpr uint32_t kMaxOrdinal = 4096;
constexpr size_t kMaxText = 1024;
constexpr char kOtherName[] = "(other)";
}  // namespace

Sites::Sites() : op_known_(new std::atomic<bool>[kMaxSites]()) {
  InternScope("", false);
  // kOtherSite: what did not fit.
  sites_.push_back(SiteState{kRootScope, kMaxOrdinal});
}

void Sites::Exclude(std::vector<std::string> globs) {
  exclude_ = std::move(globs);
  for (Scope& scope : scopes_) scope.excluded = Excluded(scope.name);
}

bool Sites::Excluded(const std::string& name) const {
  return std::any_of(
      exclude_.begin(), exclude_.end(),
      [&](const std::string& glob) { return GlobMatch(glob, name); });
}

std::vector<std::string> Sites::UnmatchedExcludes() const {
  if (scopes_.size() >= kMaxScopes) return {};
  std::vector<std::string> names;
  for (const Scope& scope : scopes_) {
    const bool module = !scope.name.empty() && scope.name != kOtherName;
    if (module) names.push_back(scope.name);
  }
  std::vector<std::string> lines;
  for (const std::string& glob : exclude_) {
    if (std::none_of(scopes_.begin(), scopes_.end(), [&](const Scope& scope) {
          return GlobMatch(glob, scope.name);
        })) {
      lines.push_back(UnmatchedGlob("INVACT_EXCLUDE", glob, names));
    }
  }
  return lines;
}

void Sites::Attach(SharedRun* shared) {
  shared_ = shared;
  SiteEntry& other = shared->sites[kOtherSite];
  other.scope = InternScope(kOtherName, false);
  other.pack_ordinal = 0;
  other.dtype = 0;
  other.category = static_cast<uint8_t>(Category::kActivation);
  shared->control.site_count.store(1, std::memory_order_release);
  for (uint32_t i = 0; i < scopes_.size(); ++i) MirrorScope(i);
}

void Sites::MirrorScope(uint32_t scope) {
  ScopeEntry& entry = shared_->scopes[scope];
  entry.name = Text(scopes_[scope].name);
  entry.block = scopes_[scope].block ? 1 : 0;
  uint32_t count = shared_->control.scope_count.load(std::memory_order_relaxed);
  if (scope >= count) {
    shared_->control.scope_count.store(scope + 1, std::memory_order_release);
  }
}

uint32_t Sites::InternScope(std::string_view name, bool block) {
  auto known = scope_numbers_.find(std::string(name));
  if (known != scope_numbers_.end()) return known->second;
  if (scopes_.size() == kMaxScopes) {
    if (shared_ != nullptr) shared_->control.sites_overflowed.fetch_add(1);
    return kRootScope;
  }
  const auto number = static_cast<uint32_t>(scopes_.size());
  std::string kept(name.substr(0, kMaxText));
  const bool excluded = Excluded(kept);
  scopes_.push_back(Scope{std::move(kept), block, excluded, {}});
  scope_numbers_.emplace(name, number);
  if (shared_ != nullptr) MirrorScope(number);
  return number;
}

void Sites::Renew(uint32_t scope) {
  for (const uint32_t site : scopes_[scope].sites) {
    if (site != kNoSite) sites_[site].declined = Reason::kNone;
  }
}

uint32_t Sites::SiteFor(uint32_t scope, uint32_t ordinal,
                        std::string_view dtype, Category category) {
  if (ordinal >= kMaxOrdinal) return kOtherSite;
  std::vector<uint32_t>& by_ordinal = scopes_[scope].sites;
  if (ordinal < by_ordinal.size() && by_ordinal[ordinal] != kNoSite) {
    return by_ordinal[ordinal];
  }
  if (sites_.size() == kMaxSites) {
    if (shared_ != nullptr) shared_->control.sites_overflowed.fetch_add(1);
    return kOtherSite;
  }
  const auto number = static_cast<uint32_t>(sites_.size());
  sites_.push_back(SiteState{scope, ordinal});
  if (by_ordinal.size() <= ordinal) by_ordinal.resize(ordinal + 1, kNoSite);
  by_ordinal[ordinal] = number;
  if (shared_ != nullptr) {
    SiteEntry& entry = shared_->sites[number];
    entry.scope = scope;
    entry.pack_ordinal = ordinal;
    entry.op.store(0, std::memory_order_relaxed);
    entry.dtype = Text(dtype);
    entry.category = static_cast<uint8_t>(category);
    shared_->control.site_count.store(number + 1, std::memory_order_release);
  }
  return number;
}

Reason Sites::DeclinedAt(uint32_t scope, uint32_t ordinal) const {
  if (scopes_[scope].excluded) return Reason::kUserExcluded;
  const std::vector<uint32_t>& by_ordinal = scopes_[scope].sites;
  if (ordinal >= by_ordinal.size() || by_ordinal[ordinal] == kNoSite) {
    return Reason::kNone;
  }
  return sites_[by_ordinal[ordinal]].declined;
}

void Sites::SetOp(uint32_t site, std::string_view op) {
  op_known_[site].store(true, std::memory_order_relaxed);
  if (shared_ != nullptr && site != kOtherSite) {
    shared_->sites[site].op.store(Text(op), std::memory_order_release);
  }
}

uint32_t Sites::Text(std::string_view text) {
  if (text.empty() || shared_ == nullptr) return 0;
  text = text.substr(0, kMaxText);
  auto known = texts_.find(std::string(text));
  if (known != texts_.end()) return known->second;
  const uint32_t used =
      shared_->control.string_bytes.load(std::memory_order_relaxed);
  const uint32_t offset = used == 0 ? 2 : used;  // offset 0 is ""
  if (offset + 2 + text.size() > kStringBytes) return 0;
  const auto length = static_cast<uint16_t>(text.size());
  std::memcpy(shared_->strings + offset, &length, sizeof(length));
  std::memcpy(shared_->strings + offset + 2, text.data(), text.size());
  shared_->control.string_bytes.store(
      offset + 2 + static_cast<uint32_t>(text.size()),
      std::memory_order_release);
  texts_.emplace(text, offset);
  return offset;
}

}  // namespace invact
