// The memory that a traced process shares with its relay: one memfd, sealed
// against resizing, written by the plugin, read by the relay, and readable by
// the relay after the writer was killed at any instruction.
//
//   offset 0        SharedRun
//     .info         who the run is; written once before the relay starts
//     .control      state, counters, what calibrations found out
//     .scopes       module paths, append-only (scope_count is the guard)
//     .sites        call sites, append-only (site_count is the guard)
//     .strings      text arena, append-only
//     .live         the step under way, rows updated in place
//     .last[2]      newest complete step, double-buffered
//     .max[2]       step with the largest baseline, double-buffered
//     .steps        ring of step totals, one writer (under the ledger's lock)
//     .rings[8]     rings of events, one writer thread each
//     .parameters   what digests are of, append-only (parameter_count)
//     .digests      ring of digests, one writer (under the Digests' lock)
//     .memory_rows  ring of the accounts of device memory, one writer (under
//                   the lock of memory_rows.cc)
//     .memory_records  ring of single changes of device memory, one writer
//                   (under the lock of memory_changes.h)
//
// What can be lost: events (a full ring drops the newest, counted in
// `dropped`), and step totals when the relay stood still for kStepSlots steps
// (counted in `steps_dropped`, as are rows of memory_rows), and digests (the
// reader finds the hole). What
// can't: the live table, last, max, the counters. All atomics are address-free
// and lock-free. Both sides are built from this file; kLayoutVersion guards
// against a relay of another build.
//
// Threads: writers as said above. The relay is the only reader; it writes
// nothing but the `read` cursors.
#ifndef INVACT_PLUGIN_RING_RING_LAYOUT_H_
#define INVACT_PLUGIN_RING_RING_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "proto/codes.h"
#include "proto/digest_codes.h"
#include "proto/memory_record.h"

namespace invact {

inline constexpr char kLayoutMagic[8] = {'i', 'n', 'v', 'a',
                                         'c', 't', '-', 'r'};
inline constexpr uint32_t kLayoutVersion = 5;

inline constexpr uint32_t kMaxScopes = 16384;
inline constexpr uint32_t kMaxSites = 16384;
inline constexpr uint32_t kStringBytes = 2u << 20;
inline constexpr uint32_t kStepSlots = 2048;
inline constexpr uint32_t kMaxKernels = 128;
inline constexpr uint32_t kRings = 8;
inline constexpr uint32_t kRingRecords = 8192;  // power of two
inline constexpr uint32_t kMaxLeaves = 16384;
inline constexpr uint32_t kDigestSlots = 65536;
inline constexpr uint32_t kMemoryRowSlots = 512;
// A step of a model with a thousand layers has some 50,000 changes.
inline constexpr uint32_t kMemoryRecordSlots = 65536;
inline constexpr uint32_t kMemoryHolders = 16;  // of one row, largest first
inline constexpr uint32_t kMemoryColumns = 12;  // room for all categories
inline constexpr uint32_t kNoSite = 0xffffffff;
// Everything that did not fit the tables above is added up in this row.
inline constexpr uint32_t kOtherSite = 0;
inline constexpr int64_t kUnknown = -1;  // a byte count or time not known

// One event. 48 bytes, little endian, also the format on the wire and in the
// database (Batch.records). Times: CLOCK_MONOTONIC ns. source, address, bytes
// and stream have room for allocator and CUPTI events.
struct Record {
  uint64_t time_ns;
  uint64_t address;  // of the storage or block
  int64_t bytes;
  uint64_t stream;
  uint32_t site;  // kNoSite: none
  uint32_t step;
  uint8_t kind;    // EventKind
  uint8_t source;  // EventSource
  int8_t device;   // -1: CPU
  uint8_t action;  // Action
  uint32_t thread;
};
static_assert(sizeof(Record) == 48);

struct RunInfo {
  char run_id[17];  // 16 hex digits
  char name[128];
  char job_id[128];
  char policy[16];
  char torch_version[32];
  char invact_version[16];
  char host[65];
  int64_t pid;
  int32_t rank, local_rank, world_size, restart;
  int64_t started_wall_ns;
  int64_t started_mono_ns;
  uint8_t exact;
  uint8_t python;
};

enum class GuestState : uint32_t { kRunning = 0, kFinished = 1 };
enum class Phase : uint32_t { kForward = 0, kBackward = 1, kDone = 2 };

// What a calibration found out (observe/kernel_finding.h). Texts are string
// offsets; an error below 0 is not known.
struct alignas(8) KernelEntry {
  uint32_t op, dtype, device, library, detail;
  uint32_t side_bits;
  uint8_t reason;  // Reason, kNone: served
  uint8_t pad[7];
  double stated_max, stated_rms;
  double floor_max, floor_rms;
  double error_max, error_rms;
};
static_assert(sizeof(KernelEntry) == 80);

// `version` is odd while the writer is inside; 0: nothing was written yet.
struct KernelSlot {
  std::atomic<uint64_t> version;
  KernelEntry entry;
};

struct Control {
  std::atomic<uint32_t> state;     // GuestState
  std::atomic<int32_t> exit_code;  // valid once kFinished
  std::atomic<int64_t> ended_wall_ns;
  std::atomic<uint32_t> oom_seen;  // 1: `oom` below is valid
  uint32_t oom_phase;              // Phase
  int64_t oom_step;
  int64_t oom_requested_bytes;
  int64_t oom_saved_bytes;
  uint32_t oom_scope;
  std::atomic<uint32_t> scope_count;
  std::atomic<uint32_t> site_count;
  std::atomic<uint32_t> string_bytes;
  std::atomic<uint64_t> steps_dropped;
  std::atomic<uint64_t> sites_overflowed;
  std::atomic<uint64_t> ringless_dropped;  // threads that got no ring
  std::atomic<uint64_t> failures;          // features switched off
  std::atomic<uint32_t> device_name;       // string offset, 0: cpu
  std::atomic<uint32_t> warning_count;
  std::atomic<uint32_t> warnings[32];  // string offsets
  std::atomic<uint32_t> kernel_count;
  std::atomic<uint32_t> parameter_count;
  KernelSlot kernels[kMaxKernels];  // in place when calibrated anew
};

// Text is stored as uint16 length + bytes, at `offset` in the arena. Offset 0
// is the empty string.
struct ScopeEntry {
  uint32_t name;   // string offset
  uint32_t block;  // 1: child of a ModuleList or Sequential
  // Sums over the calls of the step under way, reset at its end.
  std::atomic<int64_t> input_bytes;
  std::atomic<int64_t> forward_ns;
  std::atomic<uint32_t> calls;
  uint32_t pad;
  // The same for the last complete step.
  std::atomic<int64_t> last_input_bytes;
  std::atomic<int64_t> last_forward_ns;
  std::atomic<uint32_t> last_calls;
  uint32_t pad2;
};

struct SiteEntry {
  uint32_t scope;
  uint32_t pack_ordinal;
  std::atomic<uint32_t> op;  // string offset, 0: not resolved yet
  uint32_t dtype;            // string offset
  uint8_t category;          // Category
  uint8_t pad[3];
};

struct alignas(8) SiteRow {
  int64_t baseline_bytes;
  int64_t held_bytes;  // includes side_bytes
  int64_t side_bytes;
  uint8_t action;    // Action
  uint8_t declined;  // Reason
  uint8_t shared;
  uint8_t touched;  // 1: the site saved something in this step
  uint32_t pad;
};
static_assert(sizeof(SiteRow) == 32);

// kUnknown (-1) marks what is not known.
struct StepTotalsPod {
  int64_t index;
  uint32_t complete;
  uint32_t phase;  // Phase
  int64_t baseline_bytes, held_bytes, side_bytes;
  int64_t by_category[4];                       // baseline, indexed by Category
  int64_t begin_ns, backward_begin_ns, end_ns;  // 0: not reached
  int64_t allocated_before, allocated_instant;
  int64_t peak_allocated, peak_reserved;
  int64_t saved_at_peak, eliminated_at_peak;
  int64_t saved_tensors;
  double device_forward_seconds, device_backward_seconds;  // < 0: unknown
  double device_step_seconds;                              // < 0: unknown
};

// `version` is odd while the writer is inside.
struct SiteTable {
  std::atomic<uint64_t> version;
  StepTotalsPod totals;
  uint32_t rows;
  uint32_t pad;
  SiteRow row[kMaxSites];
};

struct alignas(64) EventRing {
  std::atomic<uint32_t> owner;  // thread id of the writer, 0: free
  alignas(64) std::atomic<uint64_t> written;
  std::atomic<uint64_t> dropped;
  alignas(64) std::atomic<uint64_t> read;
  alignas(64) Record record[kRingRecords];
};

struct StepRing {
  alignas(64) std::atomic<uint64_t> written;
  alignas(64) std::atomic<uint64_t> read;
  StepTotalsPod step[kStepSlots];
};

// A leaf that gradients are accumulated for. String offsets.
struct ParameterEntry {
  uint32_t name;
  uint32_t type;
};

enum class DigestKind : uint16_t {
  kLoss,      // subject: place among the roots; value: bits of a double
  kGradient,  // subject: number of the parameter; value: its digest
  kStep,      // ends a step; value: how many records it had before this one
};

// `unseen` is an NoDigest: where it is not kNone there is no value.
struct DigestRecord {
  int64_t step;
  uint64_t value;
  uint32_t subject;
  uint16_t kind;  // DigestKind
  uint16_t unseen;
};
static_assert(sizeof(DigestRecord) == 24);

struct DigestRing {
  alignas(64) std::atomic<uint64_t> written;
  alignas(64) std::atomic<uint64_t> read;
  DigestRecord record[kDigestSlots];
};

// What was alive on a device at one moment, asked for in bytes, by
// MemoryCategory. `awaiting`: freed, in use by another stream. allocated,
// requested and torch_reserved are torch's own of the same moment, kUnknown
// where they could not be had in it.
struct MemoryMomentPod {
  int64_t time_ns;  // 0: not reached
  int64_t bytes[kMemoryColumns];
  int64_t awaiting, reserved;
  int64_t allocated, requested, torch_reserved;
};

struct MemoryHolderPod {
  uint32_t scope;  // kNoSite: none
  uint32_t site;   // kNoSite: not saved at a call site
  int64_t bytes;
  uint32_t category;  // MemoryCategory
  uint32_t pad;
};

// kStep: a step of a device, from its first save to that of the next one; comes
// again, more complete, until `complete`. kOutOfMemory: the first one of a
// device, in `peak`.
enum class MemoryRowKind : uint8_t { kStep, kOutOfMemory };

struct MemoryRowPod {
  int64_t step;  // -1: all that was before the first
  int32_t device;
  uint8_t kind;  // MemoryRowKind
  uint8_t complete;
  uint8_t phase;    // MemoryPhase, of the peak
  uint8_t holders;  // how many of `holder`; 0: not told yet
  int64_t begin_ns;
  MemoryMomentPod begin, backward, end, peak;
  int64_t most_reserved;
  int64_t allocations, frees, out_of_memory;
  int64_t asked, device_free;  // by an out-of-memory
  MemoryHolderPod holder[kMemoryHolders];
};
static_assert(sizeof(MemoryRowPod) % sizeof(uint64_t) == 0);
static_assert(static_cast<size_t>(MemoryCategory::kCount) <= kMemoryColumns);

struct MemoryRowRing {
  alignas(64) std::atomic<uint64_t> written;
  alignas(64) std::atomic<uint64_t> read;
  MemoryRowPod row[kMemoryRowSlots];
};

struct MemoryRecordRing {
  alignas(64) std::atomic<uint64_t> written;
  std::atomic<uint64_t> dropped;
  alignas(64) std::atomic<uint64_t> read;
  alignas(64) MemoryRecord record[kMemoryRecordSlots];
};

struct SharedRun {
  char magic[8];
  uint32_t layout_version;
  uint32_t layout_bytes;  // sizeof(SharedRun)
  RunInfo info;
  alignas(64) Control control;
  ScopeEntry scopes[kMaxScopes];
  SiteEntry sites[kMaxSites];
  char strings[kStringBytes];
  SiteTable live;
  std::atomic<uint32_t> last_slot, max_slot;
  SiteTable last[2];
  SiteTable max[2];
  StepRing steps;
  EventRing rings[kRings];
  ParameterEntry parameters[kMaxLeaves];
  DigestRing digests;
  MemoryRowRing memory_rows;
  MemoryRecordRing memory_records;
};
static_assert(sizeof(SharedRun) <= 16u << 20);
static_assert(kMaxScopes <= kMostMemoryPlaces &&
              kMaxSites <= kMostMemoryPlaces);
static_assert(static_cast<size_t>(MemoryCategory::kCount) <=
              kMostMemoryCategories);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace invact

#endif  // INVACT_PLUGIN_RING_RING_LAYOUT_H_
