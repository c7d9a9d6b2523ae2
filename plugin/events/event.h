// The words of the caching allocator's events. One event is one Record of the
// ring (48 bytes), in the process, in an event file (docs/memory_events.md) and
// on the wire alike:
//
//   kind              address    bytes            stream      site
//   alloc, free,      of the     asked for, not   the pool's  scope of the
//    free_completed   block      the block's      stream      calling thread
//   segment_*         of it      mapped           stream      -
//   oom               -          asked for        bytes free  scope
//   baseline_block,   of the     asked for        stream      -
//    _awaiting        block
//   baseline_segment  of it      mapped           stream      -
//   label             of the     -                call site   scope that saved
//                     block                       + 1, or 0   it
//                     (`action`: a MemoryCategory)
//   allocator_stats   reserved   allocated        asked for,  -
//                     bytes      bytes            awaiting frees included
//   cupti_alloc,      of it      asked for        its pool,   scope named
//    cupti_free                                   0: none     after a library
//                     (`action`: CUPTI's kind of memory, 3: of the device)
//   cupti_pool        of it      its size         of it       -
//   cupti_lost        -          records lost     -           -
//   device_used       device's   used             torch's     -
//                     bytes                       reserved
//                     (`action`: a ForeignKnown)
//   device_foreign    -          used by it       -           as cupti_alloc
//   step_begin, backward_begin, step_end, forward_begin, optimizer_begin,
//    optimizer_end, baseline_begin, baseline_end, cupti_gap_begin,
//    cupti_gap_end: marks, nothing else
//
// `free` is the request: torch's allocated bytes fall with it. A block that
// another stream still uses stays mapped until its `free_completed`. `site` is
// kNoSite where there is no scope. Every event has its device, its time and its
// thread; `step` is that of the last step mark. What CUPTI tells comes late, in
// batches at step marks; its times are those of the operations.
#ifndef INVACT_PLUGIN_EVENTS_EVENT_H_
#define INVACT_PLUGIN_EVENTS_EVENT_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "plugin/ring/ring_layout.h"
#include "proto/codes.h"

namespace invact {

inline constexpr size_t kMemoryCategories =
    static_cast<size_t>(MemoryCategory::kCount);
// Bytes, by MemoryCategory.
using ByCategory = std::array<int64_t, kMemoryCategories>;

inline EventKind KindOf(const Record& event) {
  return static_cast<EventKind>(event.kind);
}

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_EVENT_H_
