#include "plugin/events/device_events.h"

#include <exception>

namespace invact {

void DeviceEvents::Enter(const Record& event) {
  account_.OnEvent(event);
  if (file_ != nullptr) file_->Append(event);
}

template <typename F>
void DeviceEvents::Try(F f) noexcept {
  try {
    f();
  } catch (const std::exception&) {  // std::bad_alloc
    state_.store(State::kBroken);
  }
}

void DeviceEvents::FromAllocator(const Record& event) noexcept {
  std::lock_guard lock(mutex_);
  seen_.store(seen_.load(std::memory_order_relaxed) + 1,
              std::memory_order_release);
  const State state = state_.load(std::memory_order_relaxed);
  if (state == State::kLive) [[likely]] {
    Try([&] { Enter(event); });
  } else if (state == State::kAfterCut) {
    if (pending_.size() < kMostPending) {
      pending_.push_back(event);  // reserved: no allocation
    } else {
      overflowed_ = true;
    }
  }
}

void DeviceEvents::FromJob(const Record& event) noexcept {
  std::lock_guard lock(mutex_);
  const State state = state_.load(std::memory_order_relaxed);
  if (state == State::kLive) {
    Try([&] { Enter(event); });
  } else if (state == State::kBeforeCut || state == State::kAfterCut) {
    if (pending_.size() < kMostPending) pending_.push_back(event);
  }
}

void DeviceEvents::ExpectBaseline() noexcept {
  std::lock_guard lock(mutex_);
  if (state_.load() == State::kBroken) return;
  Try([&] {
    pending_.clear();
    pending_.reserve(kMostPending);
    overflowed_ = false;
    state_.store(State::kBeforeCut);
  });
}

void DeviceEvents::Cut() noexcept {
  std::lock_guard lock(mutex_);
  if (state_.load() == State::kBeforeCut) state_.store(State::kAfterCut);
}

bool DeviceEvents::EnterBaseline(std::span<const Record> baseline) noexcept {
  std::lock_guard lock(mutex_);
  if (state_.load() != State::kAfterCut || overflowed_) return false;
  Try([&] {
    for (const Record& event : baseline) Enter(event);
    for (const Record& event : pending_) Enter(event);
    std::vector<Record>().swap(pending_);
    state_.store(State::kLive);
  });
  return state_.load() == State::kLive;
}

bool DeviceEvents::MarkWithStats(const Record& mark, const Record& stats,
                                 uint64_t seen) noexcept {
  std::lock_guard lock(mutex_);
  if (state_.load() != State::kLive ||
      seen_.load(std::memory_order_relaxed) != seen) {
    return false;
  }
  Try([&] {
    Enter(mark);
    Enter(stats);
  });
  return true;
}

}  // namespace invact
