#include "plugin/events/memory_account.h"

#include <algorithm>

namespace invact {

namespace {

const void* Key(uint64_t address) {
  return reinterpret_cast<const void*>(address);
}

}  // namespace

void MemoryAccount::OnEvent(const Record& event) {
  now_ns_ = static_cast<int64_t>(event.time_ns);
  switch (KindOf(event)) {
    case EventKind::kAlloc:
      return Allocate(event);
    case EventKind::kFree:
      return Free(event);
    case EventKind::kFreeCompleted:
      return FreeCompleted(event);
    case EventKind::kBaselineSegment:
      reserved_ += event.bytes;
      return;
    case EventKind::kSegmentAlloc:
    case EventKind::kSegmentMap:
      return Reserve(event.bytes);
    case EventKind::kSegmentFree:
    case EventKind::kSegmentUnmap:
      return Reserve(-event.bytes);
    case EventKind::kOom:
      return NoteOutOfMemory(event);
    case EventKind::kLabel:
      return Label(event);
    case EventKind::kAllocatorStats:
      return Reconcile(event);
    case EventKind::kBaselineBegin:
      return BeginBaseline();
    case EventKind::kBaselineBlock:
    case EventKind::kBaselineAwaiting:
      return Baseline(event);
    case EventKind::kBaselineEnd:
      return EndBaseline();
    case EventKind::kGap:
      ++oddities_.gaps;
      return;
    default:
      return Mark(event);
  }
}

void MemoryAccount::Count(uint32_t scope, MemoryCategory category,
                          int64_t bytes) {
  shares_.Add(scope, category, bytes);
  live_ += bytes;
  NotePeak();
}

void MemoryAccount::NotePeak() {
  if (live_ <= step_.peak_bytes || in_baseline_) return;
  step_.peak_bytes = live_;
  step_.peak_ns = now_ns_;
  step_.peak_phase = phase_;
  step_.reserved_at_peak = reserved_;
  shares_.Peak();
}

void MemoryAccount::Reserve(int64_t bytes) {
  reserved_ += bytes;
  step_.peak_reserved = std::max(step_.peak_reserved, reserved_);
}

void MemoryAccount::EnlistTemporary(const void* key, LiveBlock* block) {
  block->place = static_cast<uint32_t>(temporaries_.size());
  temporaries_.push_back(key);
}

void MemoryAccount::DelistTemporary(LiveBlock* block) {
  const void* last = temporaries_.back();
  temporaries_.pop_back();
  if (block->place == temporaries_.size()) return;
  temporaries_[block->place] = last;
  blocks_.Find(last)->place = block->place;
}

// The new block, or nullptr where it is only counted.
LiveBlock* MemoryAccount::Insert(const Record& event, MemoryCategory category) {
  if (blocks_.size() >= max_blocks_) {
    ++oddities_.together;
    together_bytes_ += event.bytes;
    Count(kNoSite, MemoryCategory::kUnknown, event.bytes);
    return nullptr;
  }
  const void* key = Key(event.address);
  LiveBlock& block = blocks_[key];
  block = {};
  block.bytes = event.bytes;
  block.scope = event.site;
  block.baseline = baseline_;
  block.category = category;
  block.phase = phase_;
  if (category == MemoryCategory::kTemporary) EnlistTemporary(key, &block);
  Count(block.scope, category, block.bytes);
  return &block;
}

void MemoryAccount::Remove(const void* key, const LiveBlock& block) {
  LiveBlock gone = block;
  if (gone.awaiting) {
    awaiting_ -= gone.bytes;
  } else {
    if (gone.category == MemoryCategory::kTemporary) DelistTemporary(&gone);
    Count(gone.scope, gone.category, -gone.bytes);
  }
  blocks_.Erase(key);
}

void MemoryAccount::Allocate(const Record& event) {
  ++step_.allocations;
  if (const LiveBlock* old = blocks_.Find(Key(event.address))) {
    ++oddities_.missed_frees;
    Remove(Key(event.address), *old);
  }
  Insert(event, MemoryCategory::kTemporary);
}

void MemoryAccount::Free(const Record& event) {
  ++step_.frees;
  LiveBlock* block = blocks_.Find(Key(event.address));
  if (block == nullptr || block->awaiting) {
    if (block == nullptr && event.bytes <= together_bytes_) {
      together_bytes_ -= event.bytes;
      together_awaiting_ += event.bytes;
      Count(kNoSite, MemoryCategory::kUnknown, -event.bytes);
    } else {
      ++oddities_.unknown_frees;
    }
    return;
  }
  if (block->category == MemoryCategory::kTemporary) DelistTemporary(block);
  Count(block->scope, block->category, -block->bytes);
  block->awaiting = true;
  awaiting_ += block->bytes;
}

void MemoryAccount::FreeCompleted(const Record& event) {
  if (const LiveBlock* block = blocks_.Find(Key(event.address))) {
    // Torch completes only what it was asked to free.
    if (!block->awaiting) ++oddities_.missed_frees;
    Remove(Key(event.address), *block);
  } else if (event.bytes <= together_awaiting_) {
    together_awaiting_ -= event.bytes;
  } else {
    ++oddities_.unknown_frees;
  }
}

// Blocks counted together have no names: the baseline tells of them anew.
void MemoryAccount::BeginBaseline() {
  ++baseline_;
  in_baseline_ = true;
  reserved_ = 0;
  Count(kNoSite, MemoryCategory::kUnknown, -together_bytes_);
  together_bytes_ = together_awaiting_ = 0;
}

void MemoryAccount::Baseline(const Record& event) {
  const bool awaiting = KindOf(event) == EventKind::kBaselineAwaiting;
  LiveBlock* block = blocks_.Find(Key(event.address));
  if (block != nullptr && block->bytes == event.bytes &&
      block->awaiting == awaiting) {
    block->baseline = baseline_;
    return;
  }
  if (baseline_ > 1) ++oddities_.corrected;
  if (block != nullptr) Remove(Key(event.address), *block);
  block = Insert(event, MemoryCategory::kUnknown);
  if (!awaiting || block == nullptr) return;
  Count(block->scope, block->category, -block->bytes);
  block->awaiting = true;
  awaiting_ += block->bytes;
}

// What this baseline did not name is gone.
void MemoryAccount::EndBaseline() {
  std::vector<std::pair<const void*, LiveBlock>> gone;
  blocks_.ForEachPair([&](const void* key, const LiveBlock& block) {
    if (block.baseline != baseline_) gone.emplace_back(key, block);
  });
  for (const auto& [key, block] : gone) {
    // Removing one may move another's place among the temporaries.
    Remove(key, *blocks_.Find(key));
    ++oddities_.corrected;
  }
  in_baseline_ = false;
  NotePeak();
  Reserve(0);
}

void MemoryAccount::Recategorise(LiveBlock* block, MemoryCategory category,
                                 uint32_t scope) {
  if (block->category == MemoryCategory::kTemporary) DelistTemporary(block);
  Count(block->scope, block->category, -block->bytes);
  block->category = category;
  block->scope = scope;
  Count(scope, category, block->bytes);
}

void MemoryAccount::Label(const Record& event) {
  LiveBlock* block = blocks_.Find(Key(event.address));
  const auto category = static_cast<MemoryCategory>(event.action);
  if (block == nullptr || block->awaiting ||
      category >= MemoryCategory::kCount ||
      category == MemoryCategory::kTemporary) {
    ++oddities_.unknown_labels;
    return;
  }
  // The first layer that saves a tensor owns it; a parameter stays one.
  if (block->category == category ||
      block->category == MemoryCategory::kParameter) {
    return;
  }
  Recategorise(block, category,
               event.site == kNoSite ? block->scope : event.site);
}

void MemoryAccount::Settle(bool optimizer_only, MemoryCategory to) {
  for (size_t i = temporaries_.size(); i-- > 0;) {
    LiveBlock* block = blocks_.Find(temporaries_[i]);
    if (optimizer_only && block->phase != MemoryPhase::kOptimizer) continue;
    Recategorise(block, to, block->scope);
  }
}

void MemoryAccount::Mark(const Record& event) {
  mark_ = nullptr;
  switch (KindOf(event)) {
    case EventKind::kForwardBegin:
      Settle(false, MemoryCategory::kOther);
      forward_seen_ = true;
      phase_ = MemoryPhase::kForward;
      break;
    case EventKind::kStepBegin:
      BeginStep(event);
      break;
    case EventKind::kBackwardBegin:
      phase_ = MemoryPhase::kBackward;
      step_.at_backward = shares_.Now();
      mark_ = &step_.backward_torch;
      break;
    case EventKind::kStepEnd:
      phase_ = optimizers_ > 0 ? MemoryPhase::kOptimizer  // LBFGS's closure
                               : MemoryPhase::kBetween;
      forward_seen_ = false;
      step_.at_end = shares_.Now();
      mark_ = &step_.end_torch;
      break;
    case EventKind::kOptimizerBegin:
      ++optimizers_;
      phase_ = MemoryPhase::kOptimizer;
      break;
    case EventKind::kOptimizerEnd:
      optimizers_ = std::max(0, optimizers_ - 1);
      Settle(true, MemoryCategory::kOptimizerState);
      if (optimizers_ == 0 && phase_ == MemoryPhase::kOptimizer) {
        phase_ = MemoryPhase::kBetween;
      }
      break;
    default:
      break;  // events about saved tensors
  }
}

StepMemory MemoryAccount::step() const {
  StepMemory row = step_;
  row.at_peak = shares_.AtPeak();
  return row;
}

void MemoryAccount::BeginStep(const Record& event) {
  last_ = step();
  if (last_.peak_bytes > largest_.peak_bytes) {
    largest_ = last_;
    largest_holders_ = Holders(true);
  }
  if (!forward_seen_) Settle(false, MemoryCategory::kOther);
  phase_ = MemoryPhase::kForward;
  step_ = {};
  step_.step = event.step;
  step_.begin_ns = step_.peak_ns = now_ns_;
  step_.at_backward.fill(kUnknown);
  step_.at_end.fill(kUnknown);
  step_.peak_bytes = live_;
  step_.peak_phase = phase_;
  step_.reserved_at_peak = step_.peak_reserved = reserved_;
  shares_.Peak();
}

void MemoryAccount::Reconcile(const Record& event) {
  reconciled_.allocated = event.bytes;
  reconciled_.rounding = event.bytes - live_;
  reconciled_.requested_off =
      static_cast<int64_t>(event.stream) - live_ - awaiting_bytes();
  reconciled_.reserved_off = static_cast<int64_t>(event.address) - reserved_;
  if (!reconciled_.exact()) ++oddities_.mismatches;
  if (mark_ != nullptr) *mark_ = reconciled_;
}

void MemoryAccount::NoteOutOfMemory(const Record& event) {
  ++step_.out_of_memory;
  OutOfMemoryNote& note = out_of_memory_;
  if (note.time_ns != 0) return;  // the first tells most
  note.time_ns = now_ns_;
  note.step = step_.step;
  note.asked = event.bytes;
  note.device_free = static_cast<int64_t>(event.stream);
  note.live = live_;
  note.reserved = reserved_;
  note.phase = phase_;
  note.by_category = shares_.Now();
  note.holders = Holders(false);
}

std::vector<MemoryHolder> MemoryAccount::Holders(bool at_peak,
                                                 size_t most) const {
  std::vector<MemoryHolder> all;
  shares_.ForEach(at_peak,
                  [&](uint32_t scope, MemoryCategory category, int64_t bytes) {
                    all.push_back({scope, category, bytes});
                  });
  most = std::min(most, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<ptrdiff_t>(most),
                    all.end(),
                    [](const MemoryHolder& a, const MemoryHolder& b) {
                      return a.bytes > b.bytes;
                    });
  all.resize(most);
  return all;
}

}  // namespace invact
