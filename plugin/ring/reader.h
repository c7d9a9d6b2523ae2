// The relay's view of the shared memory. Everything in it is untrusted: the
// writer may be of any quality, may be dead in the middle of a write, and may
// write while we read. Numbers are bounded, offsets checked, text is made
// valid UTF-8; nothing here can crash or loop, whatever the memory holds.
//
// One thread. Writes nothing but the `read` cursors.
#ifndef INVACT_PLUGIN_RING_READER_H_
#define INVACT_PLUGIN_RING_READER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugin/ring/ring_layout.h"

namespace invact {

// At most `limit` bytes of valid UTF-8 without NUL; what is not becomes '?'.
std::string CleanText(std::string_view text_untrusted, size_t limit);

struct RunView {
  std::string run_id;  // 16 hex digits, or empty: not a run
  std::string name, job_id, policy, torch_version, invact_version, host;
  int64_t pid = 0;
  int32_t rank = 0, local_rank = 0, world_size = 0, restart = 0;
  int64_t started_wall_ns = 0;
  bool exact = false;
};

struct ScopeView {
  std::string name;
  bool block = false;
};

struct SiteView {
  uint32_t scope = 0, pack_ordinal = 0;
  std::string op, dtype;
  Category category = Category::kActivation;
};

struct ScopeSums {
  uint32_t scope = 0, calls = 0;
  int64_t input_bytes = 0, forward_ns = 0;
};

struct TableView {
  StepTotalsPod totals = {};
  std::vector<std::pair<uint32_t, SiteRow>> rows;  // of touched sites
};

struct OomView {
  Phase phase = Phase::kForward;
  int64_t step = 0, requested_bytes = 0, saved_bytes = 0;
  std::string layer;
};

// Texts as KernelFinding has them. An error below 0 is not known.
struct KernelView {
  std::string op, dtype, device, library, detail;
  int32_t side_bits = 0;
  Reason reason = Reason::kNone;  // kNone: served
  double stated_max = -1, stated_rms = -1;
  double floor_max = -1, floor_rms = -1;
  double error_max = -1, error_rms = -1;
};

struct ParameterView {
  std::string name, type;
};

class Reader {
 public:
  explicit Reader(SharedRun* shared_untrusted);

  RunView Info() const;
  bool finished() const;
  int32_t exit_code() const;
  int64_t ended_wall_ns() const;
  bool Oom(OomView* out) const;
  std::string Device() const;  // "cpu" when none is named
  std::vector<std::string> Warnings() const;

  // Appends up to `max` records, oldest first within each ring; how many.
  size_t TakeRecords(size_t max, std::string* out);
  size_t TakeSteps(size_t max, std::vector<StepTotalsPod>* out);
  size_t TakeDigests(size_t max, std::vector<DigestRecord>* out);
  // Bytes, steps and times bounded; codes may be of no table.
  size_t TakeMemoryRows(size_t max, std::vector<MemoryRowPod>* out);
  // Appends up to `max` whole records, bounded; a moment stays together where
  // that is possible.
  size_t TakeMemoryRecords(size_t max, std::string* out);
  uint64_t events_dropped() const;  // so far, all rings
  // Records that wait in one, of kRingRecords; of the ring of memory's records
  // the same share.
  size_t FullestRing() const;
  uint64_t steps_dropped() const;

  uint32_t scope_count() const;
  uint32_t site_count() const;
  ScopeView Scope(uint32_t number) const;
  SiteView Site(uint32_t number) const;
  // Changes when the site has to be sent again.
  uint32_t SiteStamp(uint32_t number) const;

  uint32_t parameter_count() const;
  ParameterView Parameter(uint32_t number) const;

  uint32_t kernel_count() const;
  // Whether Kernel would give something for that stamp.
  bool KernelChanged(uint32_t number, uint64_t stamp) const;
  // False when it is being written, or is as old as `*stamp` (0: never seen),
  // which is updated.
  bool Kernel(uint32_t number, uint64_t* stamp, KernelView* out) const;

  // The newest whole table. False when there is none, or none newer than
  // `*stamp`, which is updated.
  bool LastTable(uint64_t* stamp, TableView* out) const;
  bool MaxTable(uint64_t* stamp, TableView* out) const;
  // The step under way; false when none is. Rows change while they are read:
  // exact once the writer is gone.
  bool LiveTable(TableView* out) const;
  std::vector<ScopeSums> LastScopes() const;
  std::vector<ScopeSums> LiveScopes() const;

 private:
  std::string Text(uint32_t offset_untrusted, size_t limit) const;
  bool ReadTable(const SiteTable (&tables)[2], uint32_t slot_untrusted,
                 uint64_t* stamp, TableView* out) const;

  SharedRun* const shared_;
  // Ours: the copies in the memory are for the writer alone.
  uint64_t ring_read_[kRings] = {};
  uint64_t step_read_ = 0;
  uint64_t digest_read_ = 0;
  uint64_t memory_row_read_ = 0;
  uint64_t memory_record_read_ = 0;
  uint64_t resync_dropped_ = 0;
  uint64_t resync_steps_ = 0;
  uint32_t next_ring_ = 0;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_RING_READER_H_
