#include "plugin/cupti/foreign.h"

#include <algorithm>

namespace invact::cupti {

namespace {

// The range that the address is in, or their end. Sorted by address.
template <typename Ranges>
auto Holding(const Ranges& ranges, uint64_t address) {
  auto it = std::upper_bound(ranges.begin(), ranges.end(), address,
                             [](uint64_t at, const Segments::Range& range) {
                               return at < range.address;
                             });
  if (it == ranges.begin()) return ranges.end();
  --it;
  return address - it->address < static_cast<uint64_t>(it->bytes)
             ? it
             : ranges.end();
}

}  // namespace

Foreign ForeignOf(const std::vector<LiveAllocation>& live,
                  const std::vector<Segments::Range>& segments,
                  const std::vector<Segments::Range>& before, uint16_t torchs) {
  Foreign out;
  std::vector<int64_t> told(segments.size(), 0);  // bytes, by segment
  for (const LiveAllocation& one : live) {
    const auto segment = Holding(segments, one.address);
    if (segment != segments.end()) {
      out.matched += one.bytes;
      told[static_cast<size_t>(segment - segments.begin())] += one.bytes;
    } else {
      out.by_library[one.library] += one.bytes;
      out.bytes += one.bytes;
    }
  }
  int64_t untold = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    if (Holding(before, segments[i].address) != before.end()) continue;
    untold += std::max<int64_t>(0, segments[i].bytes - told[i]);
  }
  // What carries the allocator's name is torch's; else what carries none.
  const auto from = out.by_library.find(torchs);
  if (from == out.by_library.end()) return out;
  out.assumed =
      torchs != kNoLibrary ? from->second : std::min(untold, from->second);
  from->second -= out.assumed;
  out.bytes -= out.assumed;
  if (from->second == 0) out.by_library.erase(from);
  return out;
}

}  // namespace invact::cupti
