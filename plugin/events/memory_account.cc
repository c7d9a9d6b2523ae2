#include "plugin/events/memory_account.h"

#include <algorithm>
#include <utility>

namespace invact {

namespace {

const void* Key(uint64_t address) {
  return reinterpret_cast<const void*>(address);
}
uint64_t Address(const void* key) { return reinterpret_cast<uintptr_t>(key); }

}  // namespace

void MemoryAccount::OnEvent(const Record& event) {
  now_ns_ = static_cast<int64_t>(event.time_ns);
  step_now_ = event.step;
  device_now_ = event.device;
  switch (KindOf(event)) {
    case EventKind::kAlloc:
      return Allocate(event);
    case EventKind::kFree:
      return Free(event);
    case EventKind::kFreeCompleted:
      return FreeCompleted(event);
    case EventKind::kBaselineSegment:
      reserved_ += event.bytes;
      segments_.Add(event.address, event.bytes);
      return;
    case EventKind::kSegmentAlloc:
    case EventKind::kSegmentMap:
      segments_.Add(event.address, event.bytes);
      Reserve(event.bytes);
      return TellReserved(KindOf(event), event.address, event.bytes);
    case EventKind::kSegmentFree:
    case EventKind::kSegmentUnmap:
      segments_.Remove(event.address, event.bytes);
      Reserve(-event.bytes);
      return TellReserved(KindOf(event), event.address, -event.bytes);
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
    case EventKind::kDeviceUsed:
    case EventKind::kDeviceForeign:
      return device_.OnEvent(event);
    case EventKind::kCuptiAlloc:
    case EventKind::kCuptiFree:
    case EventKind::kCuptiPool:
    case EventKind::kCuptiLost:
    case EventKind::kCuptiGapBegin:
    case EventKind::kCuptiGapEnd:
      return;  // kept where CUPTI's own order can be undone (plugin/cupti)
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

void MemoryAccount::Count(const LiveBlock& block, int64_t bytes) {
  if (block.category != MemoryCategory::kTemporary &&
      block.place_or_site != kNoSite) {
    sites_.Add(block.place_or_site, block.category, bytes);
  }
  Count(block.scope, block.category, bytes);
}

void MemoryAccount::NotePeak() {
  if (live_ <= step_.peak_bytes || in_baseline_) return;
  step_.peak_bytes = live_;
  step_.peak_ns = now_ns_;
  step_.peak_phase = phase_;
  step_.reserved_at_peak = reserved_;
  step_.awaiting_at_peak = awaiting_bytes();
  shares_.Peak();
  sites_.Peak();
}

void MemoryAccount::Reserve(int64_t bytes) {
  reserved_ += bytes;
  step_.peak_reserved = std::max(step_.peak_reserved, reserved_);
}

void MemoryAccount::EnlistTemporary(const void* key, LiveBlock* block) {
  block->place_or_site = static_cast<uint32_t>(temporaries_.size());
  temporaries_.push_back(key);
}

void MemoryAccount::DelistTemporary(LiveBlock* block) {
  const void* last = temporaries_.back();
  temporaries_.pop_back();
  const uint32_t place = std::exchange(block->place_or_site, kNoSite);
  if (place == temporaries_.size()) return;
  temporaries_[place] = last;
  blocks_.Find(last)->place_or_site = place;
}

// The new block, or nullptr where it is only counted.
LiveBlock* MemoryAccount::Insert(const Record& event, MemoryCategory category) {
  if (blocks_.size() >= max_blocks_) {
    ++oddities_.together;
    together_bytes_ += event.bytes;
    Count(kNoSite, MemoryCategory::kUnknown, event.bytes);
    Tell(KindOf(event), event.address, event.bytes);
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
  Tell(KindOf(event), event.address, block, block.bytes);
  return &block;
}

void MemoryAccount::Remove(const void* key, const LiveBlock& block) {
  LiveBlock gone = block;
  if (gone.awaiting) {
    awaiting_ -= gone.bytes;
  } else {
    if (gone.category == MemoryCategory::kTemporary) DelistTemporary(&gone);
    Count(gone, -gone.bytes);
    Tell(EventKind::kFree, Address(key), gone, -gone.bytes);
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
      Tell(EventKind::kFree, event.address, -event.bytes);
    } else {
      ++oddities_.unknown_frees;
    }
    return;
  }
  if (block->category == MemoryCategory::kTemporary) DelistTemporary(block);
  Count(*block, -block->bytes);
  Tell(EventKind::kFree, event.address, *block, -block->bytes);
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
  segments_.Clear();
  Count(kNoSite, MemoryCategory::kUnknown, -together_bytes_);
  if (sink_ != nullptr && baseline_ > 1) sink_->OnMissed();
  if (together_bytes_ != 0) {
    Tell(EventKind::kFree, 0, -together_bytes_);
  }
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
  // What awaits its free is not alive: nothing to tell.
  ChangeSink* sink = awaiting ? std::exchange(sink_, nullptr) : sink_;
  block = Insert(event, MemoryCategory::kUnknown);
  if (awaiting && block != nullptr) Count(*block, -block->bytes);
  sink_ = sink;
  if (awaiting && block == nullptr) {
    Tell(KindOf(event), event.address, event.bytes);
  }
  if (!awaiting || block == nullptr) return;
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
  TellReserved(EventKind::kBaselineSegment, 0, reserved_ - reserved_told_);
}

void MemoryAccount::Recategorise(const void* key, LiveBlock* block,
                                 MemoryCategory category, uint32_t scope,
                                 uint32_t site, bool more) {
  if (block->category == MemoryCategory::kTemporary) DelistTemporary(block);
  Count(*block, -block->bytes);
  const bool told = sink_ != nullptr;
  MemoryRecord moved[2];
  if (told) {
    moved[0] = Change(EventKind::kLabel, Address(key), *block, -block->bytes);
    moved[0].more = 1;
  }
  block->category = category;
  block->scope = scope;
  block->place_or_site = site;
  Count(*block, block->bytes);
  if (!told) return;
  moved[1] = Change(EventKind::kLabel, Address(key), *block, block->bytes);
  moved[1].more = more;
  sink_->OnChanges(moved, 2);
}

MemoryRecord MemoryAccount::Change(EventKind kind, uint64_t address,
                                   int64_t bytes) const {
  MemoryRecord out = {};
  out.time_ns = static_cast<uint64_t>(now_ns_);
  out.address = address;
  out.bytes = bytes;
  out.scope = out.site = kNoMemoryPlace;
  out.step = step_now_;
  out.kind = static_cast<uint8_t>(kind);
  out.device = device_now_;
  return out;
}

MemoryRecord MemoryAccount::Change(EventKind kind, uint64_t address,
                                   const LiveBlock& block,
                                   int64_t bytes) const {
  MemoryRecord out = Change(kind, address, bytes);
  // As the shares have it: what is beyond their table is nobody's.
  if (block.scope < kMaxScopes) out.scope = block.scope;
  if (block.category != MemoryCategory::kTemporary &&
      block.place_or_site < kMaxSites) {
    out.site = block.place_or_site;
  }
  out.category = static_cast<uint8_t>(block.category);
  return out;
}

void MemoryAccount::TellReserved(EventKind kind, uint64_t address,
                                 int64_t bytes) {
  reserved_told_ = reserved_;
  if (sink_ == nullptr || bytes == 0) return;
  MemoryRecord record = Change(kind, address, bytes);
  record.category = kReservedBytes;
  sink_->OnChanges(&record, 1);
}

// The call site of a label, which belongs to one scope for good.
uint32_t MemoryAccount::SiteOf(const Record& event) {
  if (event.stream == 0 || event.stream > kMaxSites) return kNoSite;
  const auto site = static_cast<uint32_t>(event.stream - 1);
  if (scope_of_site_.size() <= site) scope_of_site_.resize(site + 1, kNoSite);
  if (scope_of_site_[site] == kNoSite) scope_of_site_[site] = event.site;
  return scope_of_site_[site] == event.site ? site : kNoSite;
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
  uint32_t scope = block->scope;
  uint32_t site = block->category == MemoryCategory::kTemporary
                      ? kNoSite
                      : block->place_or_site;
  if (event.site != kNoSite) {
    scope = event.site;
    site = SiteOf(event);
  }
  Recategorise(Key(event.address), block, category, scope, site);
}

void MemoryAccount::Settle(bool optimizer_only, MemoryCategory to) {
  const auto stays = [&](const void* key) {
    return optimizer_only &&
           blocks_.Find(key)->phase != MemoryPhase::kOptimizer;
  };
  // From the back: who is taken off is replaced by one that was seen. All of
  // them change in one moment, which the first of them ends.
  size_t first = 0;
  while (first < temporaries_.size() && stays(temporaries_[first])) ++first;
  for (size_t i = temporaries_.size(); i-- > first;) {
    const void* key = temporaries_[i];
    if (stays(key)) continue;
    LiveBlock* block = blocks_.Find(key);
    Recategorise(key, block, to, block->scope, kNoSite, i > first);
  }
}

}  // namespace invact
