// How the recorder enters what is saved, read back and dropped.
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>

#include "plugin/events/memory_events.h"
#include "plugin/guard.h"
#include "plugin/observe/events.h"
#include "plugin/observe/graph_task.h"
#include "plugin/observe/recorder.h"
#include "plugin/observe/scope_stack.h"
#include "plugin/observe/tensor_facts.h"

namespace invact {

namespace {

// The allocator's statistics are a lock and a thousand bytes to copy, so they
// are read at one in so many saves and reads of saved tensors.
constexpr uint32_t kPeakEvery = 32;

int64_t SamplePeak() {
  // Threads that count at the same time may lose a count.
  static std::atomic<uint32_t> calls{0};
  const uint32_t call = calls.load(std::memory_order_relaxed);
  calls.store(call + 1, std::memory_order_relaxed);
  return call % kPeakEvery == 0 ? ReadPeakAllocated() : kUnknown;
}

// The allocator's peak at a save on that device, now and then.
int64_t PeakFor(int device) {
  if (device < 0) return kUnknown;
  NoteDevice(device);
  return SamplePeak();
}

// What the bytes are kept for, to the account of the device's blocks.
void LabelKept(const SavedFacts& tensor, uint32_t scope, uint32_t site) {
  const MemoryCategory category =
      tensor.category == Category::kInput        ? MemoryCategory::kInput
      : tensor.category == Category::kWeightCopy ? MemoryCategory::kWeightCopy
                                                 : MemoryCategory::kActivation;
  LabelMemoryIfWanted(tensor.device, tensor.data, category, scope, site);
}

}  // namespace

SaveTicket Recorder::ClaimLocked(const SavedFacts& tensor, uint32_t site,
                                 Claim claim, int64_t now_ns) {
  SaveTicket ticket;
  ticket.claim = claim;
  SiteState& at = sites_.At(site);
  ticket.entry = ledger_->Add(tensor.storage, tensor.bytes, tensor.category,
                              site, claim, at.entry);
  ticket.site = site;
  at.entry = ticket.entry;
  ++at.claims;
  if (log_ != nullptr) {
    static constexpr std::string_view kKinds[] = {"baseline", "held", "both"};
    ticket.id = next_id_++;
    log_->Pack(now_ns, ticket.id, ticket.entry->serial, tensor.bytes, site,
               sites_.ScopeName(at.scope), at.ordinal,
               kKinds[static_cast<int>(claim)], Name(ticket.entry->category));
  }
  return ticket;
}

void Recorder::UnclaimLocked(const SaveTicket& ticket, Claim claim) {
  ledger_->Remove(ticket.entry, ticket.site, claim);
  --sites_.At(ticket.site).claims;
  if (log_ != nullptr) log_->Drop(ticket.id);
}

uint32_t Recorder::TouchLocked(const SavedFacts& tensor, const SiteKey& key,
                               Action action, Reason reason) {
  uint32_t site = sites_.Known(key.scope, key.ordinal);
  if (site == kNoSite) {
    site = sites_.SiteFor(key.scope, key.ordinal, DtypeName(tensor.dtype),
                          tensor.category);
    shared_->live.rows = sites_.count();
  }
  SiteState& state = sites_.At(site);
  SiteRow& row = shared_->live.row[site];
  if (!state.touched) {
    state.touched = true;
    touched_.push_back(site);
    row.touched = 1;
  }
  row.action = static_cast<uint8_t>(action);
  row.declined =
      static_cast<uint8_t>(action != Action::kKeep   ? Reason::kNone
                           : reason != Reason::kNone ? reason
                                                     : state.declined);
  steps_.CountSave();
  return site;
}

SaveTicket Recorder::SaveAs(const SavedFacts& tensor, Reason reason,
                            Claim claim, Action action) noexcept {
  const SiteKey key = TakeSite();
  if (!Running()) return {};
  const int64_t peak = PeakFor(tensor.device);
  if (steps_.phase() == Phase::kDone) BeginStep();
  const int64_t now = MonotonicNs();
  SaveTicket ticket;
  {
    std::lock_guard lock(mutex_);
    ResumeStepLocked(now);
    if (peak != kUnknown) NotePeakLocked(peak);
    const uint32_t site = TouchLocked(tensor, key, action, reason);
    ticket = ClaimLocked(tensor, site, claim, now);
    sites_.PrefetchAfter(site);
    MirrorLive();
  }
  if (claim != Claim::kAsked) LabelKept(tensor, key.scope, ticket.site);
  EmitSaved(shared_, EventKind::kSave, now, tensor.data, tensor.bytes,
            ticket.site, steps_.index(), tensor.device, action);
  return ticket;
}

void Recorder::Drop(const SaveTicket& ticket) noexcept {
  if (ticket.entry == nullptr ||
      g_guest_mode.load(std::memory_order_relaxed) != GuestMode::kRunning) {
    return;
  }
  std::lock_guard lock(mutex_);
  UnclaimLocked(ticket, ticket.claim);
  MirrorLive();
}

SaveTicket Recorder::Hold(const SavedFacts& tensor, uint32_t site) noexcept {
  if (site == kNoSite ||
      g_guest_mode.load(std::memory_order_relaxed) != GuestMode::kRunning) {
    return {};
  }
  const int64_t now = MonotonicNs();
  std::lock_guard lock(mutex_);
  LabelKept(tensor, sites_.At(site).scope, site);
  const SaveTicket ticket = ClaimLocked(tensor, site, Claim::kHeld, now);
  MirrorLive();
  return ticket;
}

void Recorder::AskOnly(SaveTicket* ticket, Action action) noexcept {
  if (ticket->entry == nullptr || ticket->claim != Claim::kBoth ||
      g_guest_mode.load(std::memory_order_relaxed) != GuestMode::kRunning) {
    return;
  }
  std::lock_guard lock(mutex_);
  const StorageEntry& entry = *ticket->entry;
  const SaveTicket both = *ticket;
  *ticket = ClaimLocked({entry.storage, nullptr, entry.bytes,
                         c10::ScalarType::Undefined, entry.category, -1},
                        both.site, Claim::kAsked, MonotonicNs());
  UnclaimLocked(both, Claim::kBoth);
  MirrorLive();
  SiteRow& row = shared_->live.row[both.site];
  row.action = static_cast<uint8_t>(action);
  row.declined = static_cast<uint8_t>(Reason::kNone);
}

void Recorder::NoteDecline(c10::ScalarType dtype, Reason reason) noexcept {
  const SiteKey key = TakeSite();
  if (g_guest_mode.load(std::memory_order_acquire) != GuestMode::kRunning) {
    return;  // nothing was saved yet: no run to enter it in
  }
  SavedFacts facts = {};
  facts.dtype = dtype;
  std::lock_guard lock(mutex_);
  if (steps_.phase() == Phase::kDone) return;
  TouchLocked(facts, key, Action::kKeep, reason);
}

Reason Recorder::SubstitutionAllowed(const SiteKey& key) noexcept {
  std::lock_guard lock(mutex_);
  // A site that never saved anything is not in the table yet: allowed.
  return sites_.DeclinedAt(key.scope, key.ordinal);
}

void Recorder::Substitute(Action action, const SavedFacts& x,
                          const SavedFacts& y, int64_t side_bytes,
                          SubstitutionTicket* ticket) noexcept {
  const SiteKey key = TakeSite();
  if (!Running()) return;
  const int64_t peak = PeakFor(x.device);
  if (steps_.phase() == Phase::kDone) BeginStep();
  const int64_t now = MonotonicNs();
  {
    std::lock_guard lock(mutex_);
    ResumeStepLocked(now);
    if (peak != kUnknown) NotePeakLocked(peak);
    const uint32_t site = TouchLocked(x, key, action, Reason::kNone);
    ticket->site = site;
    ticket->x = ClaimLocked(x, site, Claim::kAsked, now);
    ticket->y = ClaimLocked(y, site, Claim::kHeld, now);
    ticket->side_bytes = side_bytes;
    ledger_->AddSide(site, side_bytes);
    if (log_ != nullptr) {
      ticket->side_id = next_id_++;
      log_->Pack(now, ticket->side_id, ticket->side_id | 1ull << 63, side_bytes,
                 site, sites_.ScopeName(key.scope), key.ordinal, "side",
                 Name(x.category));
    }
    ticket->place = substitutions_.size();
    substitutions_.push_back(ticket);
    MirrorLive();
  }
  LabelKept(y, key.scope, ticket->site);
  EmitSaved(shared_, EventKind::kSubstitute, now, x.data, x.bytes, ticket->site,
            steps_.index(), x.device, action);
}

void Recorder::DropSubstitution(SubstitutionTicket* ticket) noexcept {
  if (ticket->site == kNoSite ||
      g_guest_mode.load(std::memory_order_relaxed) != GuestMode::kRunning) {
    return;
  }
  std::lock_guard lock(mutex_);
  UnclaimLocked(ticket->x, Claim::kAsked);
  UnclaimLocked(ticket->y, Claim::kHeld);
  ledger_->AddSide(ticket->site, -ticket->side_bytes);
  MirrorLive();
  if (log_ != nullptr) log_->Drop(ticket->side_id);
  substitutions_[ticket->place] = substitutions_.back();
  substitutions_[ticket->place]->place = ticket->place;
  substitutions_.pop_back();
  ticket->site = kNoSite;
}

void Recorder::Materialise(SubstitutionTicket* ticket,
                           const SavedFacts& copy) noexcept {
  if (ticket->site == kNoSite ||
      g_guest_mode.load(std::memory_order_relaxed) != GuestMode::kRunning) {
    return;
  }
  const int64_t now = MonotonicNs();
  std::lock_guard lock(mutex_);
  LabelKept(copy, sites_.At(ticket->site).scope, ticket->site);
  const SaveTicket copied = ClaimLocked(copy, ticket->site, Claim::kHeld, now);
  UnclaimLocked(ticket->y, Claim::kHeld);
  MirrorLive();
  ticket->y = copied;
  sites_.At(ticket->site).declined = Reason::kWrittenInPlace;
}

void Recorder::DeclineFromNowOn(uint32_t site, Reason reason) noexcept {
  if (site == kNoSite) return;
  std::lock_guard lock(mutex_);
  sites_.At(site).declined = reason;
}

Reason Recorder::DeclinedAt(uint32_t site) noexcept {
  if (site == kNoSite) return Reason::kNone;
  std::lock_guard lock(mutex_);
  const SiteState& state = sites_.At(site);
  return sites_.DeclinedAt(state.scope, state.ordinal);
}

void Recorder::Unpacked(uint32_t site) noexcept {
  if (site == kNoSite ||
      g_guest_mode.load(std::memory_order_relaxed) != GuestMode::kRunning) {
    return;
  }
  // A second backward over a kept graph: a step of its own that saved nothing.
  if (steps_.phase() != Phase::kBackward && InGraphTask()) BeginBackward();
  if (AnyDevice()) {
    const int64_t peak = SamplePeak();
    if (peak != kUnknown) {
      std::lock_guard lock(mutex_);
      NotePeakLocked(peak);
    }
  }
  if (!sites_.OpKnown(site)) NoteOp(site);
}

void Recorder::NoteOp(uint32_t site) {
  const auto node = torch::autograd::get_current_node();
  if (node == nullptr) return;  // read outside a backward
  const std::string op = node->name();
  std::lock_guard lock(mutex_);
  sites_.SetOp(site, op);
  if (op == "CompiledFunctionBackward") {
    // What torch.compile makes of a region: none of its ops is seen.
    sites_.At(site).declined = Reason::kCompiledGraph;
    shared_->last[instant_slot_].row[site].declined =
        static_cast<uint8_t>(Reason::kCompiledGraph);
  }
}

}  // namespace invact
