// Appends to the shared arena, scopes and sites, for a writer that keeps no
// tables of its own. One thread at a time.
#ifndef INVACT_PLUGIN_RING_TEXT_ARENA_H_
#define INVACT_PLUGIN_RING_TEXT_ARENA_H_

#include <cstdint>
#include <cstring>
#include <string_view>

#include "plugin/ring/ring_layout.h"

namespace invact {

// The string's offset; 0, which is "", when the arena is full.
inline uint32_t AppendText(SharedRun* shared, std::string_view text) noexcept {
  if (text.empty() || text.size() > 0xffff) return 0;
  std::atomic<uint32_t>& used = shared->control.string_bytes;
  uint32_t offset = used.load(std::memory_order_relaxed);
  if (offset == 0) offset = 2;
  const auto length = static_cast<uint16_t>(text.size());
  if (offset + sizeof(length) + length > kStringBytes) return 0;
  std::memcpy(shared->strings + offset, &length, sizeof(length));
  std::memcpy(shared->strings + offset + sizeof(length), text.data(), length);
  used.store(offset + sizeof(length) + length, std::memory_order_release);
  return offset;
}

// The scope's number; kNoSite when the table is full.
inline uint32_t AppendScope(SharedRun* shared, std::string_view name,
                            bool block) noexcept {
  std::atomic<uint32_t>& count = shared->control.scope_count;
  const uint32_t number = count.load(std::memory_order_relaxed);
  if (number >= kMaxScopes) return kNoSite;
  shared->scopes[number].name = AppendText(shared, name);
  shared->scopes[number].block = block;
  count.store(number + 1, std::memory_order_release);
  return number;
}

// The site's number; kOtherSite when the table is full.
inline uint32_t AppendSite(SharedRun* shared, uint32_t scope,
                           uint32_t pack_ordinal, std::string_view op,
                           std::string_view dtype, Category category) noexcept {
  std::atomic<uint32_t>& count = shared->control.site_count;
  const uint32_t number = count.load(std::memory_order_relaxed);
  if (number >= kMaxSites) return kOtherSite;
  SiteEntry& site = shared->sites[number];
  site.scope = scope;
  site.pack_ordinal = pack_ordinal;
  site.op.store(AppendText(shared, op), std::memory_order_relaxed);
  site.dtype = AppendText(shared, dtype);
  site.category = static_cast<uint8_t>(category);
  count.store(number + 1, std::memory_order_release);
  return number;
}

}  // namespace invact

#endif  // INVACT_PLUGIN_RING_TEXT_ARENA_H_
