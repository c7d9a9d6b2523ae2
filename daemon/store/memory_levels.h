// What is alive on each device by the changes that a run told so far: the state
// between two batches of memory records (proto/memory_record.h).
//
// Values saturate at +-2^60, far beyond what a device has: records are bounded
// by validate, but not their number. No locks: one thread at a time.
//
// Stored packed, format 1: for each device its number, whether its sums are
// uncertain, live, reserved, 16 categories, then key and value of each share
// that is not 0; all i64, little endian.
#ifndef INVACT_DAEMON_STORE_MEMORY_LEVELS_H_
#define INVACT_DAEMON_STORE_MEMORY_LEVELS_H_

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "proto/memory_record.h"

namespace invact {

// Numbers of the kinds that are no changes, in a codebook.
struct MemoryKinds {
  uint8_t level = 0, levels = 0, gap = 0;
  static MemoryKinds Ours();
};

// A record of this kind is no event of the allocator.
inline bool IsEvent(const MemoryRecord& record, const MemoryKinds& kinds) {
  return record.kind != kinds.level && record.kind != kinds.levels &&
         record.kind != kinds.gap;
}
// By how much a stored record changes the sums it belongs to.
int64_t ChangeOf(const MemoryRecord& record, const MemoryKinds& kinds);
// A level of a call site says nothing about its layer and category, which have
// levels of their own.
inline bool OfSiteAlone(const MemoryRecord& record, const MemoryKinds& kinds) {
  return record.kind == kinds.level && record.site != kNoMemoryPlace;
}

// What a share is of: a layer in all, a layer's category, a call site.
using ShareKey = uint64_t;
inline constexpr uint8_t kAllCategories = 0xff;
constexpr ShareKey LayerKey(uint32_t scope, uint8_t category = kAllCategories) {
  return uint64_t{scope} << 8 | category;
}
constexpr ShareKey SiteKey(uint32_t site) {
  return uint64_t{1} << 40 | LayerKey(site);
}

int64_t Plus(int64_t a, int64_t b);  // saturating

struct DeviceLevels {
  bool uncertain = false;  // records were lost and levels not told since
  int64_t live = 0, reserved = 0;
  std::array<int64_t, kMostMemoryCategories> category = {};
  std::unordered_map<ShareKey, int64_t> shares;

  int64_t Share(ShareKey key) const {
    const auto found = shares.find(key);
    return found == shares.end() ? 0 : found->second;
  }
  // changed(key, before, after) for each share that the record belongs to.
  template <typename F>
  void Apply(const MemoryRecord& record, const MemoryKinds& kinds, F changed) {
    if (record.kind == kinds.levels) uncertain = false;
    const int64_t change = ChangeOf(record, kinds);
    if (record.category == kReservedBytes) {
      reserved = Plus(reserved, change);
      return;
    }
    if (!IsEvent(record, kinds) && record.kind != kinds.level) return;
    const auto add = [&](ShareKey key) {
      int64_t& share = shares[key];
      const int64_t before = share;
      share = Plus(share, change);
      changed(key, before, share);
    };
    if (record.site != kNoMemoryPlace) add(SiteKey(record.site));
    if (OfSiteAlone(record, kinds)) return;
    live = Plus(live, change);
    int64_t& sum = category[record.category % kMostMemoryCategories];
    sum = Plus(sum, change);
    add(LayerKey(record.scope));
    add(LayerKey(record.scope, record.category));
  }
};

struct MemoryLevels {
  std::map<int8_t, DeviceLevels> devices;
  bool gap_seen = false;  // a device that comes later is uncertain, too

  DeviceLevels& Of(int8_t device);
  void LoseSome(int8_t device);
  // Fills in what the daemon puts into stored records: a level's difference to
  // the sums. `record` is the next one.
  void Complete(MemoryRecord* record, const MemoryKinds& kinds);
  // Applies a stored record.
  void Apply(const MemoryRecord& record, const MemoryKinds& kinds);
};

std::string Encode(const MemoryLevels& levels);
absl::StatusOr<MemoryLevels> DecodeLevels(std::string_view packed_untrusted);

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_MEMORY_LEVELS_H_
