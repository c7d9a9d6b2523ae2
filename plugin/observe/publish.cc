// How the recorder fills the tables that the relay and the tests read.
#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "plugin/guard.h"
#include "plugin/log.h"
#include "plugin/observe/device_state.h"
#include "plugin/observe/events.h"
#include "plugin/observe/recorder.h"
#include "plugin/ring/writer.h"

namespace invact {

namespace {

template <typename T>
void Copy(const std::atomic<T>& from, std::atomic<T>* to) {
  to->store(from.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

}  // namespace

// Copies the live rows; a row counts when its site saved something in this
// step or still holds something from an older graph.
void Recorder::FillTable(SiteTable* table, const StepTotalsPod& totals) {
  const uint64_t version = table->version.load(std::memory_order_relaxed);
  table->version.store(version + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  table->totals = totals;
  table->rows = sites_.count();
  for (uint32_t i = 0; i < table->rows; ++i) {
    SiteRow row = shared_->live.row[i];
    const SiteState& state = sites_.At(i);
    row.touched =
        state.touched || row.baseline_bytes != 0 || row.held_bytes != 0;
    row.shared =
        state.claims > 0 && row.baseline_bytes == 0 && row.side_bytes == 0;
    table->row[i] = row;
  }
  table->version.store(version + 2, std::memory_order_release);
}

// The table of the step under way, where its last complete one is not.
void Recorder::KeepTable(const StepTotalsPod& totals) {
  instant_slot_ = 1 - shared_->last_slot.load(std::memory_order_relaxed);
  FillTable(&shared_->last[instant_slot_], totals);
  kept_step_ = totals.index;
  kept_baseline_ = totals.baseline_bytes;
}

// The forward failed: what it saved goes as soon as the exception does.
void Recorder::KeepUnfinishedLocked() {
  if (steps_.phase() != Phase::kForward) return;
  const StepTotalsPod totals = steps_.Current(*ledger_);
  if (kept_step_ != totals.index || totals.baseline_bytes > kept_baseline_) {
    KeepTable(totals);
  }
}

// The process ends with an incomplete step: the live table shows it as it was,
// no longer what is left of it.
void Recorder::ShowUnfinishedLocked() {
  if (kept_step_ != steps_.index() || steps_.totals().complete != 0) return;
  const SiteTable& kept = shared_->last[instant_slot_];
  SiteTable& live = shared_->live;
  live.totals = kept.totals;
  live.rows = kept.rows;
  std::copy(kept.row, kept.row + kept.rows, live.row);
}

void Recorder::NotePeakLocked(int64_t peak_allocated) {
  const int64_t held = ledger_->held_bytes();
  peak_.Look(peak_allocated, held, ledger_->baseline_bytes() - held,
             steps_.phase() == Phase::kBackward);
}

// The step is complete: its table, filled at the instant, becomes the last
// one, and the largest one if it is that.
void Recorder::PublishLast(const StepTotalsPod& totals) {
  SiteTable& last = shared_->last[instant_slot_];
  const uint64_t version = last.version.load(std::memory_order_relaxed);
  last.version.store(version + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  last.totals = totals;
  last.version.store(version + 2, std::memory_order_release);
  shared_->last_slot.store(instant_slot_, std::memory_order_release);
  if (totals.baseline_bytes > max_baseline_) {
    max_baseline_ = totals.baseline_bytes;
    const uint32_t slot = 1 - shared_->max_slot.load(std::memory_order_relaxed);
    SiteTable& max = shared_->max[slot];
    const uint64_t max_version = max.version.load(std::memory_order_relaxed);
    max.version.store(max_version + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    max.totals = last.totals;
    max.rows = last.rows;
    std::copy(last.row, last.row + last.rows, max.row);
    max.version.store(max_version + 2, std::memory_order_release);
    shared_->max_slot.store(slot, std::memory_order_release);
  }
  for (uint32_t i = 0; i < sites_.scope_count(); ++i) {
    ScopeEntry& scope = shared_->scopes[i];
    if (scope.block == 0) continue;
    Copy(scope.input_bytes, &scope.last_input_bytes);
    Copy(scope.forward_ns, &scope.last_forward_ns);
    Copy(scope.calls, &scope.last_calls);
  }
}

void Recorder::PublishNotes() noexcept {
  std::string device;
  if (!device_published_ && AnyDevice()) device = DeviceName();
  Control& control = shared_->control;
  const uint32_t known = control.warning_count.load(std::memory_order_relaxed);
  const std::vector<std::string> said = TroubleSaid(known);
  if (device.empty() && said.empty()) return;
  std::lock_guard lock(mutex_);
  if (!device.empty()) {
    control.device_name.store(sites_.Text(device), std::memory_order_release);
    device_published_ = true;
  }
  uint32_t count = control.warning_count.load(std::memory_order_relaxed);
  while (count < known + said.size() && count < std::size(control.warnings)) {
    control.warnings[count].store(sites_.Text(said[count - known]),
                                  std::memory_order_relaxed);
    control.warning_count.store(++count, std::memory_order_release);
  }
}

void Recorder::NoteKernel(const KernelFinding& finding) noexcept {
  if (!Active()) return;
  bool full = false;
  {
    std::lock_guard lock(mutex_);
    const auto same = std::find_if(
        findings_.begin(), findings_.end(), [&](const KernelFinding& other) {
          return other.op == finding.op && other.dtype == finding.dtype &&
                 other.device == finding.device;
        });
    const auto number = static_cast<uint32_t>(same - findings_.begin());
    full = number == kMaxKernels;
    if (!full) {
      if (same == findings_.end()) {
        findings_.push_back(finding);
      } else {
        *same = finding;
      }
      if (shared_ != nullptr) PublishKernelLocked(number);
    }
  }
  if (full) {
    SayTrouble("kernels", "more than " + std::to_string(kMaxKernels) +
                              " kernels were calibrated; invact kernels shows "
                              "the first ones");
  }
}

void Recorder::PublishKernelLocked(uint32_t number) {
  const KernelFinding& finding = findings_[number];
  KernelEntry entry = {};
  entry.op = sites_.Text(finding.op);
  entry.dtype = sites_.Text(finding.dtype);
  entry.device = sites_.Text(finding.device);
  entry.library = sites_.Text(finding.library);
  entry.detail = sites_.Text(finding.detail);
  entry.side_bits = static_cast<uint32_t>(finding.side_bits);
  entry.reason = static_cast<uint8_t>(finding.reason);
  entry.stated_max = finding.stated_max;
  entry.stated_rms = finding.stated_rms;
  entry.floor_max = finding.floor_max;
  entry.floor_rms = finding.floor_rms;
  entry.error_max = finding.error_max;
  entry.error_rms = finding.error_rms;
  PutKernel(shared_, number, entry);
}

// Those that were calibrated before there was a run.
void Recorder::PublishKernelsLocked() {
  for (uint32_t i = 0; i < findings_.size(); ++i) PublishKernelLocked(i);
}

void Recorder::ForgetTouchedLocked() {
  for (uint32_t site : touched_) {
    sites_.At(site).touched = false;
    shared_->live.row[site].touched = 0;
  }
  touched_.clear();
  for (uint32_t i = 0; i < sites_.scope_count(); ++i) {
    ScopeEntry& scope = shared_->scopes[i];
    if (scope.block == 0) continue;
    scope.input_bytes.store(0, std::memory_order_relaxed);
    scope.forward_ns.store(0, std::memory_order_relaxed);
    scope.calls.store(0, std::memory_order_relaxed);
  }
}

void Recorder::TotalsForTest(int64_t out[8]) noexcept {
  std::fill(out, out + 8, kUnknown);
  if (g_guest_mode.load() != GuestMode::kRunning) return;
  std::lock_guard lock(mutex_);
  const SiteTable& last =
      shared_->last[shared_->last_slot.load(std::memory_order_relaxed)];
  if (last.totals.complete != 0) {
    out[0] = last.totals.baseline_bytes;
    out[1] = last.totals.held_bytes;
    out[2] = last.totals.side_bytes;
    out[3] = out[0] - out[1];
    out[4] = last.totals.index;
  }
  out[5] = ledger_->baseline_bytes();
  out[6] = ledger_->held_bytes();
  out[7] = static_cast<int64_t>(ledger_->storages());
}

}  // namespace invact
