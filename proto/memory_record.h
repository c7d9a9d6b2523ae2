// One change of device memory: what lies in Batch.memory_records and, packed,
// in the daemon's memory_blobs; the same in the ring of the plugin. 40 bytes,
// little endian, in the order below.
//
//   0 time_ns u64 | 8 address u64 | 16 bytes i64 | 24 scope u32 | 28 site u32
//   32 step u32 | 36 kind u8 | 37 category u8 | 38 device i8 | 39 more u8
//
//   kind              bytes             category          scope, site
//   alloc, free,      + or - what was   of the block      where the block is
//    baseline_block,  asked for                           filed
//    baseline_awaiting
//   label             - of the old share, then in a second record + of the new
//   segment_*,        + or - what is    kReservedBytes    none
//    baseline_segment reserved
//   level             what is there     of the share      of the share; with a
//                     now, not a change                   site: the site's
//   levels            0                 0                 none
//   gap               records lost, 0:  0                 none
//                     not known
//
// The bytes alive in all, of a category, of a layer are sums of these changes.
// `more` 1: the next record belongs to the same moment, so that sums are
// halfway after this one (the two records of a label). So that sums do not stay
// wrong after records were lost, all levels are told now and then: a `level`
// for each share that ever was, of layers (site none), of call sites (site
// given) and of what is reserved, then `levels` if none of them was lost. `gap`
// stands where records were lost, of one device or of all.
//
// Example: 1000 bytes at 0x7f0000000000 in device 0, temporary (7), made by
// scope 3 in step 7, at 1000 ns:
//   e8 03 00 00 00 00 00 00   00 00 00 00 00 7f 00 00   e8 03 00 00 00 00 00 00
//   03 00 00 00 ff ff ff ff   07 00 00 00 08 07 00 00
//
// In a stored record of kind `level` the daemon puts into `address` by how much
// the level differs from the sum of the changes before it, so that readers need
// not sum; what a client sends there is overwritten.
#ifndef INVACT_PROTO_MEMORY_RECORD_H_
#define INVACT_PROTO_MEMORY_RECORD_H_

#include <cstddef>
#include <cstdint>

namespace invact {

inline constexpr uint32_t kNoMemoryPlace = 0xffffffff;  // no scope, no site
inline constexpr uint8_t kReservedBytes = 0xff;  // in place of a category
inline constexpr int8_t kEveryDevice = -1;

struct MemoryRecord {
  uint64_t time_ns;  // CLOCK_MONOTONIC
  uint64_t address;  // of the block or segment, 0: of none
  int64_t bytes;
  uint32_t scope;  // kNoMemoryPlace: none
  uint32_t site;   // call site that saved it, kNoMemoryPlace: none
  uint32_t step;
  uint8_t kind;      // EventKind
  uint8_t category;  // MemoryCategory or kReservedBytes
  int8_t device;
  uint8_t more;
};
static_assert(sizeof(MemoryRecord) == 40);

// What both sides keep to.
inline constexpr size_t kMostMemoryRecords = 16384;  // of one batch
inline constexpr uint32_t kMostMemoryPlaces =
    16384;  // numbers of scopes, sites
inline constexpr size_t kMostMemoryCategories = 16;

}  // namespace invact

#endif  // INVACT_PROTO_MEMORY_RECORD_H_
