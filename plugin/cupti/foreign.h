// Whose the device memory is that CUPTI tells of: torch's own segments, found
// by address, or another library's. Pure.
#ifndef INVACT_PLUGIN_CUPTI_FOREIGN_H_
#define INVACT_PLUGIN_CUPTI_FOREIGN_H_

#include <map>
#include <vector>

#include "plugin/cupti/live_memory.h"
#include "plugin/events/segments.h"

namespace invact::cupti {

struct Foreign {
  int64_t bytes = 0;    // not torch's
  int64_t matched = 0;  // torch's, by address
  // Torch's by arithmetic: segments that came after CUPTI's begin and have no
  // record at their address are among those without a place in a segment (a
  // record of memory that is mapped elsewhere may name its handle).
  int64_t assumed = 0;
  // By number of library, 0: not known which. Sums to `bytes`.
  std::map<uint16_t, int64_t> by_library;
};

// `before`: torch's segments at CUPTI's begin, of which it never told.
// `torchs`: number of the library that torch's allocator is in, 0: not known.
Foreign ForeignOf(const std::vector<LiveAllocation>& live,
                  const std::vector<Segments::Range>& segments,
                  const std::vector<Segments::Range>& before, uint16_t torchs);

}  // namespace invact::cupti

#endif  // INVACT_PLUGIN_CUPTI_FOREIGN_H_
