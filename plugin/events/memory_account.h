// What is alive on one device: every block that torch's caching allocator gave
// away, by address, with what it is for; the bytes by category and scope, now
// and at the peak; the bytes that torch reserved; one row a step. Fed with
// events alone, live or from a file, so both give the same.
//
// How a block gets its category: `parameter`, `gradient`, `activation`, `input`
// and `weight_copy` by a label; `optimizer_state` when it was made in an
// optimizer's step and outlived it; `unknown` when it was there before the
// baseline; else `temporary`, and `other` once another forward begins.
//
// All bytes of blocks are those that were asked for. Torch's blocks are larger
// (multiples of 512 bytes, remainders too small to split off): at each step
// mark torch's own numbers are compared, and the difference is `rounding`.
//
// Owner: a device's tracker or a replay. Threads: externally locked. Memory:
// at most max_blocks * 80 bytes and tables of 7 MiB of which only the pages of
// scopes and call sites met are touched; blocks beyond that are counted
// together, as unknown. OnEvent may throw std::bad_alloc and calls nothing
// foreign.
#ifndef INVACT_PLUGIN_EVENTS_MEMORY_ACCOUNT_H_
#define INVACT_PLUGIN_EVENTS_MEMORY_ACCOUNT_H_

#include <vector>

#include "plugin/events/device_bytes.h"
#include "plugin/events/event.h"
#include "plugin/events/memory_changes.h"
#include "plugin/events/segments.h"
#include "plugin/events/shares.h"
#include "plugin/pointer_map.h"

namespace invact {

struct LiveBlock {
  int64_t bytes = 0;
  uint32_t scope = kNoSite;
  // Its place among the temporaries, where it is one; else the call site that
  // saved it, kNoSite: none did.
  uint32_t place_or_site = kNoSite;
  uint32_t baseline = 0;  // number of the newest baseline that knew it
  MemoryCategory category = MemoryCategory::kUnknown;
  MemoryPhase phase = MemoryPhase::kBetween;  // when it was allocated
  bool awaiting = false;  // freed; another stream still uses it
};

// Torch's own numbers at a mark, and how ours differ from them.
struct Reconciled {
  int64_t allocated = kUnknown;  // torch's; kUnknown: it was not asked
  int64_t rounding = 0;          // allocated - what was asked for
  int64_t requested_off = 0;     // torch's - ours, awaiting frees included
  int64_t reserved_off = 0;
  bool exact() const { return requested_off == 0 && reserved_off == 0; }
};

struct MemoryHolder {
  uint32_t scope;
  MemoryCategory category;
  int64_t bytes;
  uint32_t site = kNoSite;  // kNoSite: not saved at a call site
};

constexpr ByCategory UnknownBytes() {
  ByCategory bytes;
  bytes.fill(kUnknown);
  return bytes;
}

// What was alive at a mark.
struct MemoryMark {
  int64_t time_ns = 0;  // 0: not reached
  ByCategory bytes = UnknownBytes();
  int64_t awaiting = 0, reserved = 0;
  Reconciled torch;
};

// From a step's begin (the first save) to that of the next one: what the
// optimizer does after it is in it. Step -1 is all that was before the first.
struct StepMemory {
  int64_t step = -1;
  int64_t begin_ns = 0;
  MemoryMark begin, backward, end;
  int64_t peak_bytes = 0, peak_ns = 0;
  int64_t reserved_at_peak = 0, awaiting_at_peak = 0;
  MemoryPhase peak_phase = MemoryPhase::kBetween;
  ByCategory at_peak = {};  // filled when the row is closed
  int64_t peak_reserved = 0;
  int64_t allocations = 0, frees = 0, out_of_memory = 0;
};

// What did not fit together. All 0 in a sound history.
struct Oddities {
  int64_t unknown_frees = 0;   // of an address where nothing was alive
  int64_t missed_frees = 0;    // an address given away twice
  int64_t unknown_labels = 0;  // of an address where nothing was alive
  int64_t mismatches = 0;      // torch's numbers differed at a mark
  int64_t corrected = 0;       // blocks that a later baseline added or removed
  int64_t together = 0;        // blocks beyond max_blocks
  int64_t gaps = 0;            // events lost
};

struct OutOfMemoryNote {
  int64_t time_ns = 0;  // 0: there was none
  int64_t step = -1;
  int64_t asked = 0, device_free = 0, live = 0, reserved = 0;
  MemoryPhase phase = MemoryPhase::kBetween;
  int64_t awaiting = 0;
  ByCategory by_category = {};
  std::vector<MemoryHolder> holders, site_holders;
};

class MemoryAccount {
 public:
  static constexpr size_t kMaxBlocks = size_t{1} << 19;
  static constexpr size_t kHolders = 16;  // kept of a peak, largest first

  explicit MemoryAccount(size_t max_blocks = kMaxBlocks)
      : max_blocks_(max_blocks) {}

  void OnEvent(const Record& event);
  // Where single changes are told from now on; it must outlive the account.
  void TellChangesTo(ChangeSink* sink) { sink_ = sink; }

  int64_t live_bytes() const { return live_; }  // allocated, as asked for
  int64_t awaiting_bytes() const { return awaiting_ + together_awaiting_; }
  int64_t reserved_bytes() const { return reserved_; }
  ByCategory by_category() const { return shares_.Now(); }
  MemoryPhase phase() const { return phase_; }
  const Oddities& oddities() const { return oddities_; }
  const Segments& segments() const { return segments_; }
  const DeviceSamples& device() const { return device_; }
  const Reconciled& reconciled() const { return reconciled_; }  // the newest
  const OutOfMemoryNote& out_of_memory() const { return out_of_memory_; }

  // The step under way with its peak so far, the one before (step -1 where
  // there was none), and the one with the highest peak that is over.
  StepMemory step() const;
  const StepMemory& last() const { return last_; }
  const StepMemory& largest() const { return largest_; }
  // The largest of a peak: by scope, of the last step by call site.
  const std::vector<MemoryHolder>& largest_holders() const {
    return largest_holders_;
  }
  const std::vector<MemoryHolder>& last_holders() const {
    return last_holders_;
  }
  // The `most` largest, now or at the peak of the step under way.
  enum class HoldersBy { kScope, kSite };
  std::vector<MemoryHolder> Holders(bool at_peak, size_t most = kHolders,
                                    HoldersBy by = HoldersBy::kScope) const;

  int64_t now_ns() const { return now_ns_; }  // of the newest event

  // f(scope, site, category, bytes): what each share has that ever had some.
  // Of layers without a site; then of call sites, of all categories together.
  template <typename F>
  void ForEachLevel(F f) const {
    shares_.ForEachMet([&](uint32_t scope, const ByCategory& bytes,
                           const std::array<bool, kMemoryCategories>& met) {
      for (size_t i = 0; i < kMemoryCategories; ++i) {
        if (met[i]) f(scope, kNoSite, static_cast<MemoryCategory>(i), bytes[i]);
      }
    });
    sites_.ForEachMet([&](uint32_t site, const ByCategory& bytes, const auto&) {
      int64_t sum = 0;
      for (const int64_t one : bytes) sum += one;
      f(scope_of_site_[site], site, MemoryCategory::kUnknown, sum);
    });
  }

  // f(address, block) for each that is alive or awaits its free.
  template <typename F>
  void ForEachBlock(F f) const {
    blocks_.ForEachPair([&](const void* key, const LiveBlock& block) {
      f(reinterpret_cast<uintptr_t>(key), block);
    });
  }

 private:
  void Allocate(const Record& event);
  void Free(const Record& event);
  void FreeCompleted(const Record& event);
  void BeginBaseline();
  void Baseline(const Record& event);
  void EndBaseline();
  void Label(const Record& event);
  void Mark(const Record& event);
  void BeginStep(const Record& event);
  void Reconcile(const Record& event);
  void NoteOutOfMemory(const Record& event);
  void Reserve(int64_t bytes);

  LiveBlock* Insert(const Record& event, MemoryCategory category);
  void Remove(const void* key, const LiveBlock& block);
  // For the sink. `address`: of the block or segment.
  MemoryRecord Change(EventKind kind, uint64_t address, int64_t bytes) const;
  MemoryRecord Change(EventKind kind, uint64_t address, const LiveBlock& block,
                      int64_t bytes) const;
  template <typename... What>
  void Tell(const What&... what) {
    if (sink_ == nullptr) return;
    const MemoryRecord record = Change(what...);
    sink_->OnChanges(&record, 1);
  }
  void TellReserved(EventKind kind, uint64_t address, int64_t bytes);
  void NotePeak();
  void Count(uint32_t scope, MemoryCategory category, int64_t bytes);
  // With the call site's share.
  void Count(const LiveBlock& block, int64_t bytes);
  // `more`: another block follows in the same moment.
  void Recategorise(const void* key, LiveBlock* block, MemoryCategory category,
                    uint32_t scope, uint32_t site, bool more = false);
  uint32_t SiteOf(const Record& event);
  void FillMark(MemoryMark* mark);
  void SplitBySite(bool at_peak, std::vector<MemoryHolder>* all) const;
  void EnlistTemporary(const void* key, LiveBlock* block);
  void DelistTemporary(LiveBlock* block);
  // Temporaries alive now, those of one phase or all, become something else.
  void Settle(bool optimizer_only, MemoryCategory to);

  const size_t max_blocks_;
  PointerMap<LiveBlock> blocks_;
  Shares shares_{kMaxScopes};
  Shares sites_{kMaxSites};  // of what was saved at one, also in shares_
  std::vector<const void*> temporaries_;
  int64_t live_ = 0, awaiting_ = 0, reserved_ = 0;
  int64_t together_bytes_ = 0, together_awaiting_ = 0;
  int64_t now_ns_ = 0;
  uint32_t step_now_ = 0;  // of the newest event
  int8_t device_now_ = 0;
  ChangeSink* sink_ = nullptr;
  int64_t reserved_told_ = 0;
  uint32_t baseline_ = 0;
  bool in_baseline_ = false;  // blocks that are gone still count
  MemoryPhase phase_ = MemoryPhase::kBetween;
  bool forward_seen_ = false;   // since the last step's end
  int optimizers_ = 0;          // calls under way
  Reconciled* mark_ = nullptr;  // where the next allocator_stats belong
  StepMemory step_, last_, largest_;
  std::vector<MemoryHolder> largest_holders_, last_holders_;
  std::vector<uint32_t> scope_of_site_;
  Reconciled reconciled_;
  Oddities oddities_;
  Segments segments_;
  DeviceSamples device_;
  OutOfMemoryNote out_of_memory_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_MEMORY_ACCOUNT_H_
