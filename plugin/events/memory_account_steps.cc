// MemoryAccount: marks, a row a step, and who has most.
#include <algorithm>
#include <utility>

#include "plugin/events/memory_account.h"

namespace invact {

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
      FillMark(&step_.backward);
      break;
    case EventKind::kStepEnd:
      phase_ = optimizers_ > 0 ? MemoryPhase::kOptimizer  // LBFGS's closure
                               : MemoryPhase::kBetween;
      forward_seen_ = false;
      FillMark(&step_.end);
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

void MemoryAccount::FillMark(MemoryMark* mark) {
  mark->time_ns = now_ns_;
  mark->bytes = shares_.Now();
  mark->awaiting = awaiting_bytes();
  mark->reserved = reserved_;
  mark_ = &mark->torch;
}

StepMemory MemoryAccount::step() const {
  StepMemory row = step_;
  row.at_peak = shares_.AtPeak();
  return row;
}

void MemoryAccount::BeginStep(const Record& event) {
  last_ = step();
  last_holders_ = Holders(true, kHolders, HoldersBy::kSite);
  if (last_.peak_bytes > largest_.peak_bytes) {
    largest_ = last_;
    largest_holders_ = Holders(true);
  }
  if (!forward_seen_) Settle(false, MemoryCategory::kOther);
  phase_ = MemoryPhase::kForward;
  step_ = {};
  step_.step = event.step;
  step_.begin_ns = step_.peak_ns = now_ns_;
  step_.peak_bytes = live_;
  step_.peak_phase = phase_;
  step_.reserved_at_peak = step_.peak_reserved = reserved_;
  step_.awaiting_at_peak = awaiting_bytes();
  shares_.Peak();
  sites_.Peak();
  FillMark(&step_.begin);
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
  note.awaiting = awaiting_bytes();
  note.phase = phase_;
  note.by_category = shares_.Now();
  note.holders = Holders(false);
  note.site_holders = Holders(false, kHolders, HoldersBy::kSite);
}

std::vector<MemoryHolder> MemoryAccount::Holders(bool at_peak, size_t most,
                                                 HoldersBy by) const {
  std::vector<MemoryHolder> all;
  shares_.ForEach(at_peak,
                  [&](uint32_t scope, MemoryCategory category, int64_t bytes) {
                    all.push_back({scope, category, bytes});
                  });
  if (by == HoldersBy::kSite) SplitBySite(at_peak, &all);
  most = std::min(most, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<ptrdiff_t>(most),
                    all.end(),
                    [](const MemoryHolder& a, const MemoryHolder& b) {
                      return a.bytes > b.bytes;
                    });
  all.resize(most);
  return all;
}

// What call sites have is taken out of the shares of their scopes, which stand
// by scope and category.
void MemoryAccount::SplitBySite(bool at_peak,
                                std::vector<MemoryHolder>* all) const {
  const auto key = [](const MemoryHolder& holder) {
    return std::pair(holder.scope == kNoSite ? 0 : holder.scope + 1,
                     holder.category);
  };
  const auto shares = static_cast<ptrdiff_t>(all->size());
  sites_.ForEach(at_peak, [&](uint32_t site, MemoryCategory category,
                              int64_t bytes) {
    const MemoryHolder holder = {scope_of_site_[site], category, bytes, site};
    const auto share =
        std::lower_bound(all->begin(), all->begin() + shares, holder,
                         [&](const MemoryHolder& a, const MemoryHolder& b) {
                           return key(a) < key(b);
                         });
    if (share == all->begin() + shares || key(*share) != key(holder)) return;
    share->bytes -= bytes;
    all->push_back(holder);
  });
  std::erase_if(*all, [](const MemoryHolder& one) { return one.bytes == 0; });
}

}  // namespace invact
