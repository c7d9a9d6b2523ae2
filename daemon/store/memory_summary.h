// What a curve of device memory needs of a blob of stored memory records, so
// that a query over millions of events opens few of them: of each device the
// range of what was alive in all, by category, and reserved (`ranges`, read for
// each blob), and of each layer and call site that had changes (`layers`, read
// where one is asked for).
//
// A range is of the values after each moment of the device in the blob; a share
// that has no change in a blob has the value it had before it. Pure functions,
// any thread.
//
// Stored: ranges as they lie in memory behind a u64 that is 1; layers the same,
// packed, by device and key.
#ifndef INVACT_DAEMON_STORE_MEMORY_SUMMARY_H_
#define INVACT_DAEMON_STORE_MEMORY_SUMMARY_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/store/memory_levels.h"

namespace invact {

struct Range {
  int64_t min, max, last;
  int64_t max_step;  // the first that reached max

  static Range Of(int64_t value, int64_t step) {
    return {value, value, value, step};
  }
  void Add(int64_t value, int64_t step) {
    min = std::min(min, value);
    if (value > max) {
      max = value;
      max_step = step;
    }
    last = value;
  }
  void Add(const Range& later) {
    min = std::min(min, later.min);
    if (later.max > max) {
      max = later.max;
      max_step = later.max_step;
    }
    last = later.last;
  }
};

enum GapFlag : uint32_t {
  kGapHere = 1,   // records were lost, here or before and levels not told yet
  kGapAtEnd = 2,  // levels were not told since
  kOnlyGap = 4,   // and nothing else: there are no ranges
};

struct DeviceRanges {
  int32_t device;
  uint32_t gap;  // GapFlags
  int64_t lost;
  int64_t events;
  int64_t first_ns, last_ns;
  int64_t first_step, last_step;
  Range live, reserved;
  std::array<Range, kMostMemoryCategories> category;
};

struct LayerRange {
  int64_t device;
  ShareKey key;
  Range range;
};

struct MemorySummary {
  std::vector<DeviceRanges> ranges;  // by device; only those with records
  std::vector<LayerRange> layers;    // by device and key
};

// records: stored ones, `levels` what was before the first of them; it becomes
// what is after the last.
MemorySummary Summarise(const std::vector<MemoryRecord>& records,
                        const MemoryKinds& kinds, MemoryLevels* levels);

std::string Encode(const std::vector<DeviceRanges>& ranges);
std::string Encode(const std::vector<LayerRange>& layers);
absl::StatusOr<std::vector<DeviceRanges>> DecodeRanges(
    std::string_view bytes_untrusted);
absl::StatusOr<std::vector<LayerRange>> DecodeLayers(
    std::string_view packed_untrusted);

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_MEMORY_SUMMARY_H_
