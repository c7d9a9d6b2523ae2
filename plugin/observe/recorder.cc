#include "plugin/observe/recorder.h"

#include <c10/core/StorageImpl.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>

#include "plugin/guard.h"
#include "plugin/log.h"
#include "plugin/observe/events.h"
#include "plugin/observe/graph_task.h"
#include "plugin/observe/run_start.h"
#include "plugin/observe/scope_stack.h"

namespace invact {

namespace {

int64_t StorageBytes(const void* storage) {
  return static_cast<int64_t>(
      static_cast<const c10::StorageImpl*>(storage)->nbytes());
}

// The allocator's statistics are a lock and a thousand bytes to copy, so they
// are read at one in so many saves and reads of saved tensors.
constexpr uint32_t kPeakEvery = 16;

int64_t SamplePeak() {
  static std::atomic<uint32_t> calls{0};
  if (calls.fetch_add(1, std::memory_order_relaxed) % kPeakEvery != 0) {
    return kUnknown;
  }
  return ReadPeakAllocated();
}

// The allocator's peak at a save on that device, now and then.
int64_t PeakFor(int device) {
  if (device < 0) return kUnknown;
  NoteDevice(device);
  return SamplePeak();
}

}  // namespace

Recorder& Recorder::Get() noexcept {
  static auto* recorder = new Recorder;
  return *recorder;
}

void Recorder::Configure(const Config& config, std::string lib_dir,
                         std::string torch_version, bool python) noexcept {
  config_ = config;
  lib_dir_ = std::move(lib_dir);
  torch_version_ = std::move(torch_version);
  python_ = python;
  sites_.Exclude(config.exclude);
}

// The first save of the process: everything that others could see begins here.
bool Recorder::Start() noexcept {
  std::lock_guard start(start_mutex_);
  if (g_guest_mode.load() != GuestMode::kReady) {
    return g_guest_mode.load() == GuestMode::kRunning;
  }
  if (config_.bad_value) {
    SayWhatWaits();
    g_guest_mode.store(GuestMode::kOff);
    return false;
  }
  SharedRun* shared = StartRun({config_, lib_dir_, torch_version_, python_});
  if (shared == nullptr) {
    g_guest_mode.store(GuestMode::kOff);
    return false;
  }
  std::lock_guard lock(mutex_);
  shared_ = shared;
  ledger_ = std::make_unique<Ledger>(shared->live.row);
  sites_.Attach(shared);
  PublishKernelsLocked();
  log_ = OpenLedgerLog(config_);
  g_guest_mode.store(GuestMode::kRunning);
  return true;
}

SiteKey Recorder::NextSite() noexcept {
  ScopeStack& stack = t_scopes;
  if (stack.depth > 0) {
    const size_t top = std::min(stack.depth, ScopeStack::kMaxDepth) - 1;
    return {stack.frames[top].scope, stack.frames[top].next_save};
  }
  // A save outside every module call: numbered within its step.
  const int64_t step =
      steps_.index() + (steps_.phase() == Phase::kDone ? 1 : 0);
  if (stack.root_step != step) {
    stack.root_step = step;
    stack.root_next_save = 0;
  }
  return {kRootScope, stack.root_next_save};
}

void Recorder::TakeSite() noexcept {
  ScopeStack& stack = t_scopes;
  if (stack.depth > 0) {
    ++stack.frames[std::min(stack.depth, ScopeStack::kMaxDepth) - 1].next_save;
  } else {
    ++stack.root_next_save;
  }
}

void Recorder::OutermostCall() noexcept {
  if (g_guest_mode.load(std::memory_order_relaxed) == GuestMode::kOff ||
      steps_.phase() != Phase::kDone) {
    return;
  }
  const AllocatorBytes now = ReadAllocator();
  std::lock_guard lock(mutex_);
  // The last one before the first save: calls in between (an evaluation) saved
  // nothing.
  outermost_begin_ns_ = MonotonicNs();
  outermost_ = now;
}

void Recorder::BeginStepLocked(int64_t now_ns, const AllocatorBytes& before) {
  const bool from_call = outermost_begin_ns_ != 0;
  steps_.Begin(from_call ? outermost_begin_ns_ : now_ns);
  steps_.totals().allocated_before =
      from_call ? outermost_.allocated : before.allocated;
  EmitStep(shared_, EventKind::kStepBegin, steps_.totals());
}

SaveTicket Recorder::ClaimLocked(const SavedFacts& tensor, uint32_t site,
                                 Claim claim, int64_t now_ns) {
  SaveTicket ticket;
  ticket.entry =
      ledger_->Add(tensor.storage, tensor.bytes, tensor.category, site, claim);
  ticket.site = site;
  MirrorLive();
  ++sites_.At(site).claims;
  if (log_ != nullptr) {
    static constexpr std::string_view kKinds[] = {"baseline", "held", "both"};
    ticket.id = next_id_++;
    const SiteState& state = sites_.At(site);
    log_->Pack(now_ns, ticket.id, ticket.entry->serial, tensor.bytes, site,
               sites_.ScopeName(state.scope), state.ordinal,
               kKinds[static_cast<int>(claim)], Name(ticket.entry->category));
  }
  return ticket;
}

void Recorder::UnclaimLocked(const SaveTicket& ticket, Claim claim) {
  ledger_->Remove(ticket.entry, ticket.site, claim);
  MirrorLive();
  --sites_.At(ticket.site).claims;
  if (log_ != nullptr) log_->Drop(ticket.id);
}

uint32_t Recorder::TouchLocked(const SavedFacts& tensor, const SiteKey& key,
                               Action action, Reason reason) {
  const uint32_t site =
      sites_.SiteFor(key.scope, key.ordinal, tensor.dtype, tensor.category);
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

SaveTicket Recorder::Save(const SavedFacts& tensor, Reason reason) noexcept {
  const SiteKey key = NextSite();
  TakeSite();
  if (g_guest_mode.load(std::memory_order_acquire) != GuestMode::kRunning &&
      !Start()) {
    return {};
  }
  const int64_t peak = PeakFor(tensor.device);
  const bool first = steps_.phase() == Phase::kDone;
  const AllocatorBytes before = first ? ReadAllocator() : AllocatorBytes{};
  const int64_t now = MonotonicNs();
  SaveTicket ticket;
  {
    std::lock_guard lock(mutex_);
    if (steps_.phase() == Phase::kDone) BeginStepLocked(now, before);
    NotePeakLocked(peak);
    const uint32_t site = TouchLocked(tensor, key, Action::kKeep, reason);
    ticket = ClaimLocked(tensor, site, Claim::kBoth, now);
  }
  if (first) {
    MarkDevice(StepMark::kBegin);
    PublishNotes();
  }
  EmitSaved(shared_, EventKind::kSave, now, tensor.data, tensor.bytes,
            ticket.site, steps_.index(), tensor.device, Action::kKeep);
  return ticket;
}

void Recorder::Drop(const SaveTicket& ticket) noexcept {
  if (ticket.entry == nullptr ||
      g_guest_mode.load(std::memory_order_relaxed) != GuestMode::kRunning) {
    return;
  }
  std::lock_guard lock(mutex_);
  UnclaimLocked(ticket, Claim::kBoth);
}

void Recorder::NoteDecline(std::string_view dtype, Reason reason) noexcept {
  const SiteKey key = NextSite();
  TakeSite();
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
  const SiteKey key = NextSite();
  TakeSite();
  if (g_guest_mode.load(std::memory_order_acquire) != GuestMode::kRunning &&
      !Start()) {
    return;
  }
  const int64_t peak = PeakFor(x.device);
  const bool first = steps_.phase() == Phase::kDone;
  const AllocatorBytes before = first ? ReadAllocator() : AllocatorBytes{};
  const int64_t now = MonotonicNs();
  {
    std::lock_guard lock(mutex_);
    if (steps_.phase() == Phase::kDone) BeginStepLocked(now, before);
    NotePeakLocked(peak);
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
  }
  if (first) {
    MarkDevice(StepMark::kBegin);
    PublishNotes();
  }
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
  const SaveTicket copied = ClaimLocked(copy, ticket->site, Claim::kHeld, now);
  UnclaimLocked(ticket->y, Claim::kHeld);
  ticket->y = copied;
  sites_.At(ticket->site).declined = Reason::kWrittenInPlace;
}

void Recorder::DeclineFromNowOn(uint32_t site, Reason reason) noexcept {
  if (site == kNoSite) return;
  std::lock_guard lock(mutex_);
  sites_.At(site).declined = reason;
}

// A substitution that gained nothing in this step is not made again. Asked at
// the instant, when what the other layers save is known.
void Recorder::JudgeSubstitutions() {
  for (const SubstitutionTicket* ticket : substitutions_) {
    const SiteRow& row = shared_->live.row[ticket->site];
    SiteState& state = sites_.At(ticket->site);
    if (row.baseline_bytes > row.held_bytes ||
        state.declined != Reason::kNone) {
      continue;
    }
    state.declined = ticket->x.entry->held > 0 ? Reason::kInputKeptElsewhere
                                               : Reason::kOutputNotSaved;
  }
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
  if (sites_.OpKnown(site)) return;
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

void Recorder::EnterBackward() noexcept {
  backwards_.fetch_add(1);
  if (g_guest_mode.load(std::memory_order_acquire) == GuestMode::kRunning &&
      steps_.phase() == Phase::kForward) {
    BeginBackward();
  }
}

void Recorder::LeaveBackward(bool complete) noexcept {
  if (!complete) failed_backward_.store(true);
  if (backwards_.fetch_sub(1) == 1) {
    EndBackward(!failed_backward_.exchange(false));
  }
}

void Recorder::BeginBackward() noexcept {
  if (backwards_.load() == 0) return;  // nobody would tell of its end
  const AllocatorBytes allocator = ReadAllocator();
  const int64_t now = MonotonicNs();
  {
    std::lock_guard lock(mutex_);
    if (steps_.phase() == Phase::kBackward) return;  // another thread was first
    if (steps_.phase() == Phase::kDone) BeginStepLocked(now, allocator);
    ledger_->Resize(StorageBytes, [this](const StorageEntry& entry) {
      if (log_ != nullptr) log_->Resize(entry.serial, entry.bytes);
    });
    NotePeakLocked(allocator.peak_allocated);
    steps_.BackwardBegins(now, *ledger_);
    StepTotalsPod& totals = steps_.totals();
    totals.allocated_instant = allocator.allocated;
    JudgeSubstitutions();
    KeepTable(totals);
    EmitStep(shared_, EventKind::kBackwardBegin, totals);
    if (log_ != nullptr) {
      log_->Instant(totals.index, totals.baseline_bytes, totals.held_bytes,
                    totals.side_bytes);
    }
  }
  MarkDevice(StepMark::kBackward);
}

void Recorder::EndBackward(bool complete) noexcept {
  if (g_guest_mode.load(std::memory_order_acquire) != GuestMode::kRunning ||
      steps_.phase() != Phase::kBackward) {
    return;
  }
  MarkDevice(StepMark::kEnd);
  const AllocatorBytes allocator = ReadAllocator();
  const DeviceSeconds device = TakeDeviceSeconds();
  const int64_t now = MonotonicNs();
  PublishNotes();
  std::lock_guard lock(mutex_);
  if (steps_.phase() != Phase::kBackward) return;
  NotePeakLocked(allocator.peak_allocated);
  steps_.BackwardEnds(now, complete);
  StepTotalsPod& totals = steps_.totals();
  totals.peak_allocated = allocator.peak_allocated;
  totals.peak_reserved = allocator.peak_reserved;
  if (allocator.peak_allocated != kUnknown) {
    totals.saved_at_peak = peak_.held_at_peak();
    totals.eliminated_at_peak = peak_.eliminated_at_peak();
  }
  // The device's times are those of the newest step whose marks were reached.
  totals.device_forward_seconds = device.forward;
  totals.device_backward_seconds = device.backward;
  totals.device_step_seconds = device.step;
  if (complete) PublishLast(totals);
  EmitStep(shared_, EventKind::kStepEnd, totals);
  PushStep(shared_, totals);
  if (log_ != nullptr) log_->End(totals.index, complete);
  ForgetTouchedLocked();
  outermost_begin_ns_ = 0;
}

uint32_t Recorder::InternScope(std::string_view name, bool block) noexcept {
  std::lock_guard lock(mutex_);
  return sites_.InternScope(name, block);
}

void Recorder::RenewScope(uint32_t scope) noexcept {
  std::lock_guard lock(mutex_);
  sites_.Renew(scope);
}

void Recorder::BlockCall(uint32_t scope, int64_t input_bytes,
                         int64_t ns) noexcept {
  if (g_guest_mode.load(std::memory_order_relaxed) != GuestMode::kRunning ||
      steps_.phase() != Phase::kForward) {
    return;
  }
  ScopeEntry& entry = shared_->scopes[scope];
  entry.input_bytes.fetch_add(input_bytes, std::memory_order_relaxed);
  entry.forward_ns.fetch_add(ns, std::memory_order_relaxed);
  entry.calls.fetch_add(1, std::memory_order_relaxed);
}

void Recorder::OutOfMemory(int64_t requested_bytes) noexcept {
  if (g_guest_mode.load(std::memory_order_relaxed) != GuestMode::kRunning) {
    return;
  }
  const SiteKey key = NextSite();
  std::lock_guard lock(mutex_);
  Control& control = shared_->control;
  if (control.oom_seen.load(std::memory_order_relaxed) != 0) return;
  control.oom_phase = static_cast<uint32_t>(steps_.phase());
  control.oom_step = steps_.index();
  control.oom_requested_bytes = requested_bytes;
  control.oom_saved_bytes = ledger_->held_bytes();
  KeepUnfinishedLocked();
  control.oom_scope = key.scope;
  control.oom_seen.store(1, std::memory_order_release);
}

void Recorder::CallFailed() noexcept {
  if (g_guest_mode.load(std::memory_order_acquire) != GuestMode::kRunning) {
    return;
  }
  std::lock_guard lock(mutex_);
  KeepUnfinishedLocked();
}

void Recorder::Finish(int status) noexcept {
  if (g_guest_mode.load() != GuestMode::kRunning || finished_.exchange(true)) {
    return;
  }
  PublishNotes();
  std::lock_guard lock(mutex_);
  if (log_ != nullptr) log_->Flush();
  ShowUnfinishedLocked();
  FinishRun(shared_, config_, steps_.completed(), status);
  g_guest_mode.store(GuestMode::kOff);
}

}  // namespace invact
