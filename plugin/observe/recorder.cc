#include "plugin/observe/recorder.h"

#include <algorithm>

#include "plugin/cupti/gpu_memory.h"
#include "plugin/digest/digests.h"
#include "plugin/events/memory_events.h"
#include "plugin/guard.h"
#include "plugin/log.h"
#include "plugin/observe/run_start.h"
#include "plugin/observe/scope_stack.h"

namespace invact {

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
  if (MemoryEventsWanted()) ShareMemoryEvents(shared);
  log_ = OpenLedgerLog(config_);
  g_guest_mode.store(GuestMode::kRunning);
  return true;
}

namespace {

// The call whose scope the next save belongs to. nullptr for the root: what the
// outermost module saves itself stands beside what is saved outside of every
// call, and is numbered with it.
ScopeFrame* NamedFrame(ScopeStack& stack) {
  if (stack.depth == 0) return nullptr;
  ScopeFrame& top =
      stack.frames[std::min(stack.depth, ScopeStack::kMaxDepth) - 1];
  return top.scope == kRootScope ? nullptr : &top;
}

}  // namespace

SiteKey Recorder::NextSite() noexcept {
  ScopeStack& stack = ScopeStack::OfThread();
  if (const ScopeFrame* frame = NamedFrame(stack)) {
    return {frame->scope, frame->next_save};
  }
  // Numbered within the step.
  const int64_t step =
      steps_.index() + (steps_.phase() == Phase::kDone ? 1 : 0);
  if (stack.root_step != step) {
    stack.root_step = step;
    stack.root_next_save = 0;
  }
  return {kRootScope, stack.root_next_save};
}

SiteKey Recorder::TakeSite() noexcept {
  ScopeStack& stack = ScopeStack::OfThread();
  if (ScopeFrame* frame = NamedFrame(stack)) {
    return {frame->scope, frame->next_save++};
  }
  const SiteKey key = NextSite();
  ++stack.root_next_save;
  return key;
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
  if (MemoryEventsWanted()) TellOutOfMemory();
}

void Recorder::CallFailed() noexcept {
  if (g_guest_mode.load(std::memory_order_acquire) != GuestMode::kRunning) {
    return;
  }
  std::lock_guard lock(mutex_);
  KeepUnfinishedLocked();
}

uint32_t Recorder::Text(std::string_view text) noexcept {
  std::lock_guard lock(mutex_);
  return shared_ == nullptr ? 0 : sites_.Text(text);
}

std::vector<std::string> Recorder::ScopeNames() {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (uint32_t i = 0; i < sites_.scope_count(); ++i) {
    names.push_back(sites_.ScopeName(i));
  }
  return names;
}

// At the end, when every module was called that will be.
void Recorder::SayUnmatchedExcludes() noexcept {
  std::vector<std::string> lines;
  {
    std::lock_guard lock(mutex_);
    if (config_.policy == Policy::kObserve || config_.rank != 0 ||
        steps_.completed() == 0) {
      return;
    }
    lines = sites_.UnmatchedExcludes();
  }
  for (const std::string& line : lines) {
    SayTrouble(line, line + "; nothing was left alone for it");
  }
}

void Recorder::Finish(int status) noexcept {
  if (g_guest_mode.load() != GuestMode::kRunning || finished_.exchange(true)) {
    return;
  }
  FinishDigests();
  const bool say = config_.rank == 0 && config_.log != Config::Log::kError;
  if (MemoryEventsWanted()) FinishMemoryEvents(ScopeNames(), say);
  if (GpuMemoryWanted()) FinishGpuMemory(ScopeNames(), say);
  SayUnmatchedExcludes();
  PublishNotes();
  std::lock_guard lock(mutex_);
  if (log_ != nullptr) log_->Flush();
  ShowUnfinishedLocked();
  FinishRun(shared_, config_, steps_.completed(), status);
  g_guest_mode.store(GuestMode::kOff);
}

}  // namespace invact
