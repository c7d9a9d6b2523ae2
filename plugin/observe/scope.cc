#include "plugin/observe/scope.h"

#include <c10/core/GradMode.h>
#include <c10/core/StorageImpl.h>
#include <time.h>

#include <atomic>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "plugin/events/memory_events.h"
#include "plugin/guard.h"
#include "plugin/observe/recorder.h"
#include "plugin/observe/scope_stack.h"
#include "plugin/pointer_map.h"
#include "plugin/substitute/activation_ops.h"
#include "plugin/substitute/custom_op_guard.h"

namespace invact {

namespace {

struct PersistentStorages {
  std::mutex mutex;
  std::unordered_map<const void*, std::vector<const void*>> by_owner;
  PointerMap<int> owners_of;
  std::atomic<uint32_t> unowned{0};
};

PersistentStorages& Persistent() {
  static auto* storages = new PersistentStorages;  // outlives static objects
  return *storages;
}

void LabelParameters(std::span<const void* const> storages) {
  AttachMemoryEvents();
  for (const void* one : storages) {
    const auto* storage = static_cast<const c10::StorageImpl*>(one);
    if (storage->device_type() != c10::DeviceType::CUDA) continue;
    LabelMemory(storage->device().index(), storage->data(),
                MemoryCategory::kParameter);
  }
}

}  // namespace

constinit thread_local ScopeStack t_scopes = {};

int64_t MonotonicNs() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

uint32_t InternScope(std::string_view name, bool block) noexcept {
  return Recorder::Get().InternScope(name, block);
}

void RenewScope(uint32_t scope) noexcept { Recorder::Get().RenewScope(scope); }

bool OwnProcess() noexcept {
  return !g_forked_child.load(std::memory_order_relaxed);
}

void ScopeStack::BeforeOutermost() noexcept {
  GuardNewOps();
  InstallNewOps();
  Recorder::Get().OutermostCall();
}

// Blocks are timed in the job's own forward only, not in evaluation.
int64_t ScopeStack::BlockBegin() noexcept {
  return c10::GradMode::is_enabled() ? MonotonicNs() : 0;
}

void ScopeStack::BlockEnd(const ScopeFrame& frame) noexcept {
  Recorder::Get().BlockCall(frame.scope, frame.input_bytes,
                            MonotonicNs() - frame.begin_ns);
}

void PushScope(uint32_t scope, int64_t input_bytes) noexcept {
  ScopeStack::OfThread().Push(scope, input_bytes);
}

void PopScope() noexcept { ScopeStack::OfThread().Pop(); }

void ScopeFailed() noexcept { Recorder::Get().CallFailed(); }

size_t ScopeDepth() noexcept { return t_scopes.depth; }

void SetPersistentStorages(const void* owner,
                           std::span<const void* const> storages) noexcept {
  if (MemoryEventsWanted()) LabelParameters(storages);
  PersistentStorages& persistent = Persistent();
  std::lock_guard lock(persistent.mutex);
  auto& mine = persistent.by_owner[owner];
  for (const void* storage : mine) {
    int* owners = persistent.owners_of.Find(storage);
    if (owners != nullptr && --*owners == 0) {
      persistent.owners_of.Erase(storage);
    }
  }
  mine.assign(storages.begin(), storages.end());
  for (const void* storage : mine) ++persistent.owners_of[storage];
  if (mine.empty()) persistent.by_owner.erase(owner);
}

bool IsPersistentStorage(const void* storage) noexcept {
  PersistentStorages& persistent = Persistent();
  std::lock_guard lock(persistent.mutex);
  if (persistent.owners_of.Find(storage) != nullptr) return true;
  persistent.unowned.fetch_add(1, std::memory_order_relaxed);
  return false;
}

uint32_t TakeUnownedSaves() noexcept {
  return Persistent().unowned.exchange(0, std::memory_order_relaxed);
}

}  // namespace invact
