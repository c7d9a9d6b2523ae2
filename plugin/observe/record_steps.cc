// How the recorder follows the steps: the first save begins one, a backward
// fixes its totals and ends it.
#include <c10/core/StorageImpl.h>

#include "plugin/cupti/gpu_memory.h"
#include "plugin/events/memory_events.h"
#include "plugin/guard.h"
#include "plugin/observe/events.h"
#include "plugin/observe/recorder.h"
#include "plugin/observe/scope_stack.h"
#include "plugin/rebuild/dropped.h"

namespace invact {

namespace {

int64_t StorageBytes(const void* storage) {
  return static_cast<int64_t>(
      static_cast<const c10::StorageImpl*>(storage)->nbytes());
}

}  // namespace

void Recorder::OutermostCall() noexcept {
  if (g_guest_mode.load(std::memory_order_relaxed) == GuestMode::kOff ||
      steps_.phase() != Phase::kDone) {
    return;
  }
  AttachMemoryEventsIfWanted();
  MarkMemoryIfWanted(EventKind::kForwardBegin, steps_.index());
  MarkGpuMemoryIfWanted(EventKind::kForwardBegin, steps_.index());
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

// The first save after a backward is about to be entered.
void Recorder::BeginStep() noexcept {
  const AllocatorBytes before = ReadAllocator();
  const int64_t now = MonotonicNs();
  {
    std::lock_guard lock(mutex_);
    if (steps_.phase() != Phase::kDone) return;  // another thread was first
    BeginStepLocked(now, before);
  }
  MarkDevice(StepMark::kBegin);
  AttachMemoryEventsIfWanted();
  MarkMemoryIfWanted(EventKind::kStepBegin, steps_.index());
  MarkGpuMemoryIfWanted(EventKind::kStepBegin, steps_.index());
  PublishNotes();
}

// Another thread's backward may have ended the step since.
void Recorder::ResumeStepLocked(int64_t now_ns) {
  if (steps_.phase() == Phase::kDone) BeginStepLocked(now_ns, {});
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
    state.declined = ticket->x.entry->held_owner != kNoSite
                         ? Reason::kInputKeptElsewhere
                         : Reason::kOutputNotSaved;
  }
}

void Recorder::EnterBackward() noexcept {
  backwards_.fetch_add(1);
  if (g_guest_mode.load(std::memory_order_acquire) == GuestMode::kRunning &&
      steps_.phase() == Phase::kForward) {
    BeginBackward();
  }
}

int64_t Recorder::LeaveBackward(bool complete) noexcept {
  if (!complete) failed_backward_.store(true);
  if (backwards_.fetch_sub(1) != 1) return kStepGoesOn;
  return EndBackward(!failed_backward_.exchange(false));
}

std::vector<SaveTicket> Recorder::HoldWhatIsThereLocked(
    const std::vector<RebuiltStorage>& rebuilt, int64_t now_ns) {
  struct Found {
    const c10::StorageImpl* storage;
    uint32_t site;
  };
  std::vector<Found> found;
  ledger_->ForEachLetGo([&](const StorageEntry* entry) {
    const auto* storage = static_cast<const c10::StorageImpl*>(entry->storage);
    if (c10::raw::intrusive_ptr::use_count(
            const_cast<c10::StorageImpl*>(storage)) > 0) {
      found.push_back({storage, entry->asked_owner});
    }
  });
  for (const RebuiltStorage& one : rebuilt) {
    found.push_back({one.storage.unsafeGetStorageImpl(), one.site});
  }
  std::vector<SaveTicket> tickets;
  for (const Found& one : found) {
    tickets.push_back(
        ClaimLocked({one.storage, nullptr, StorageBytes(one.storage),
                     c10::ScalarType::Undefined, Category::kActivation, -1},
                    one.site, Claim::kHeld, now_ns));
  }
  return tickets;
}

void Recorder::BeginBackward() noexcept {
  if (backwards_.load() == 0) return;  // nobody would tell of its end
  const std::vector<RebuiltStorage> rebuilt = RebuiltStorages();
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
    JudgeSubstitutions();
    const std::vector<SaveTicket> there = HoldWhatIsThereLocked(rebuilt, now);
    steps_.BackwardBegins(now, *ledger_);
    StepTotalsPod& totals = steps_.totals();
    totals.allocated_instant = allocator.allocated;
    KeepTable(totals);
    EmitStep(shared_, EventKind::kBackwardBegin, totals);
    if (log_ != nullptr) {
      log_->Instant(totals.index, totals.baseline_bytes, totals.held_bytes,
                    totals.side_bytes);
    }
    for (const SaveTicket& one : there) UnclaimLocked(one, Claim::kHeld);
  }
  MarkDevice(StepMark::kBackward);
  MarkMemoryIfWanted(EventKind::kBackwardBegin, steps_.index());
}

int64_t Recorder::EndBackward(bool complete) noexcept {
  if (g_guest_mode.load(std::memory_order_acquire) != GuestMode::kRunning ||
      steps_.phase() != Phase::kBackward) {
    return kNoStep;
  }
  MarkDevice(StepMark::kEnd);
  MarkMemoryIfWanted(EventKind::kStepEnd, steps_.index());
  MarkGpuMemoryIfWanted(EventKind::kStepEnd, steps_.index());
  const AllocatorBytes allocator = ReadAllocator();
  const DeviceSeconds device = TakeDeviceSeconds();
  const int64_t now = MonotonicNs();
  PublishNotes();
  std::lock_guard lock(mutex_);
  if (steps_.phase() != Phase::kBackward) return kNoStep;
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
  return complete ? totals.index : kNoStep;
}

}  // namespace invact
