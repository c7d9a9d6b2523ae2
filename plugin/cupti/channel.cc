#include "plugin/cupti/channel.h"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include "plugin/cupti/kineto_slots.h"

namespace invact::cupti {

namespace {

int64_t Now(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void RequestFromCupti(uint8_t** buffer, size_t* bytes, size_t* most) {
  Channel::Get().Request(buffer, bytes, most);
}
void CompleteFromCupti(void* context, uint32_t stream, uint8_t* buffer,
                       size_t bytes, size_t valid) {
  Channel::Get().Complete(context, stream, buffer, bytes, valid);
}

}  // namespace

Channel& Channel::Get() {
  static auto* channel = new Channel;
  return *channel;
}

bool Channel::Prepare(const char* client, std::string* why) noexcept {
  try {
    if (!FindLibrary(client, &library_, why)) return false;
    const KinetoSlots slots = RedirectKineto(client);
    if (!slots.registers || !slots.disables) {
      *why =
          "the profiler of this torch can't be let through (its calls of "
          "CUPTI can't be seen)";
      return false;
    }
    sees_flush_ = slots.flushes;
    multiplexes_ = slots.enables && slots.flushes;
    queue_.reserve(kMostQueued);
  } catch (const std::exception& error) {
    *why = error.what();
    return false;
  }
  prepared_ = true;
  return true;
}

bool Channel::EnableOurs(std::string* why) noexcept {
  Result result =
      library_.register_callbacks(RequestFromCupti, CompleteFromCupti);
  if (result == kSuccess && sources_ && library_.allocation_source != nullptr) {
    // Names are a help: without them everything else goes on.
    sources_ = library_.allocation_source(1) == kSuccess;
  }
  if (result == kSuccess) result = library_.enable(kKindMemory);
  if (result != kSuccess) {
    *why = Text(library_, result);
    return false;
  }
  (void)library_.enable(kKindMemoryPool);
  return true;
}

void Channel::DisableOurs() noexcept {
  for (const uint32_t kind : {kKindMemory, kKindMemoryPool}) {
    if (!Wants(kind)) (void)library_.disable(kind);
  }
}

bool Channel::Start(bool sources, std::string* why) noexcept {
  if (!prepared_) {
    *why = "nothing was prepared";
    return false;
  }
  sources_ = sources && library_.allocation_source != nullptr;
  if (!pool_.Open()) {
    *why = "no memory for its buffers";
    return false;
  }
  clock_offset_ns_ = Now(CLOCK_MONOTONIC) - Now(CLOCK_REALTIME);
  State from_off = State::kActive;
  if (complete_.load() != nullptr) {
    if (wanted_.load() == 0) {
      (void)library_.flush_all(kFlushForced);  // Kineto's buffers go to Kineto
    } else if (multiplexes_) {
      from_off = State::kSession;  // it is at work already
    } else {
      state_.store(State::kYielded);
      Note(EventKind::kCuptiGapBegin);
      return true;
    }
  }
  state_.store(from_off, std::memory_order_release);
  if (EnableOurs(why)) return true;
  state_.store(State::kOff);
  DisableOurs();
  return false;
}

bool Channel::Flush() noexcept {
  if (stopped_.load()) return false;
  if (state() == State::kYielded && restart_in_.load() > 0 &&
      restart_in_.fetch_sub(1) == 1) {
    Restart();
  }
  if (state() == State::kDraining &&
      Now(CLOCK_MONOTONIC) - draining_since_ns_.load() > kLongestDrainNs) {
    // It was given up. To flush earlier would be wrong: Kineto takes nothing
    // where CUPTI holds no buffer of its own any more.
    (void)OnFlush(kFlushForced);
  }
  if (state() != State::kActive) return false;
  return library_.flush_all(0) == kSuccess;
}

void Channel::TakeEvents(std::vector<Record>* out) noexcept {
  out->clear();
  try {
    out->reserve(kMostQueued);
  } catch (const std::exception&) {
    return;  // they wait
  }
  {
    std::lock_guard lock(mutex_);
    queue_.swap(*out);
  }
  std::sort(out->begin(), out->end(), [](const Record& a, const Record& b) {
    return a.time_ns < b.time_ns;
  });
}

void Channel::Queue(const Record& event) noexcept {
  if (queue_.size() < queue_.capacity()) {
    queue_.push_back(event);
  } else {
    counts_.unqueued.fetch_add(1);
  }
}

void Channel::Note(EventKind kind) noexcept {
  Record event = {};
  event.time_ns = static_cast<uint64_t>(Now(CLOCK_MONOTONIC));
  event.site = kNoSite;
  event.kind = static_cast<uint8_t>(kind);
  event.source = static_cast<uint8_t>(EventSource::kCupti);
  event.device = -1;
  std::lock_guard lock(mutex_);
  if (kind == EventKind::kCuptiGapBegin) {
    counts_.gaps.fetch_add(1);
    live_.MarkUncertain();
  }
  Queue(event);
}

// --- Kineto's calls ---------------------------------------------------------

Result Channel::OnRegister(RequestBuffer request,
                           CompleteBuffer complete) noexcept {
  const State before = state();
  counts_.sessions.fetch_add(1);
  request_.store(request);
  complete_.store(complete);
  if (before == State::kOff || before == State::kYielded) {
    restart_in_.store(0);
    return library_.register_callbacks(request, complete);
  }
  if (!multiplexes_ || request == nullptr || complete == nullptr) {
    return Yield(request, complete);
  }
  // From here on whoever asks for a buffer gets Kineto's; then those of ours
  // that CUPTI still holds come back.
  state_.store(State::kSession, std::memory_order_release);
  if (before == State::kActive) (void)library_.flush_all(kFlushForced);
  const Result result =
      library_.register_callbacks(RequestFromCupti, CompleteFromCupti);
  return result == kSuccess ? result : Yield(request, complete);
}

Result Channel::Yield(RequestBuffer request, CompleteBuffer complete) noexcept {
  DisableOurs();
  (void)library_.flush_all(kFlushForced);
  restart_in_.store(0);
  state_.store(State::kYielded, std::memory_order_release);
  Note(EventKind::kCuptiGapBegin);
  return library_.register_callbacks(request, complete);
}

Result Channel::OnEnable(uint32_t kind) noexcept {
  if (kind < 64) wanted_.fetch_or(uint64_t{1} << kind);
  State draining = State::kDraining;
  state_.compare_exchange_strong(draining, State::kSession);
  return library_.enable(kind);
}

Result Channel::OnDisable(uint32_t kind) noexcept {
  uint64_t left = wanted_.load();
  if (kind < 64) {
    left = wanted_.fetch_and(~(uint64_t{1} << kind)) & ~(uint64_t{1} << kind);
  }
  const State now = state();
  const bool ours =
      IsMemory(kind) && now != State::kOff && now != State::kYielded;
  const Result result = ours ? kSuccess : library_.disable(kind);
  if (left == 0) {
    draining_since_ns_.store(Now(CLOCK_MONOTONIC));
    State session = State::kSession;
    state_.compare_exchange_strong(session, State::kDraining);
    // Where its flush is not seen, it is trusted to be over some samples later.
    if (now == State::kYielded && !sees_flush_) restart_in_.store(kUnseenFlush);
  }
  return result;
}

Result Channel::OnFlush(uint32_t flags) noexcept {
  const Result result = library_.flush_all(flags);
  if ((flags & kFlushForced) != 0 && wanted_.load() == 0) {
    State draining = State::kDraining;
    state_.compare_exchange_strong(draining, State::kActive);
    if (state() == State::kYielded) restart_in_.store(1);
  }
  return result;
}

Result Channel::OnFinalize() noexcept {
  const State before =
      state_.exchange(state() == State::kOff ? State::kOff : State::kYielded);
  if (before != State::kOff && before != State::kYielded) {
    Note(EventKind::kCuptiGapBegin);
  }
  wanted_.store(0);
  const Result result =
      library_.finalize == nullptr ? kSuccess : library_.finalize();
  restart_in_.store(1);
  return result;
}

// Kineto's buffers that CUPTI still holds go to Kineto first.
void Channel::Restart() noexcept {
  (void)library_.flush_all(kFlushForced);
  State yielded = State::kYielded;
  if (!state_.compare_exchange_strong(yielded, State::kActive)) return;
  std::string why;
  if (EnableOurs(&why)) {
    Note(EventKind::kCuptiGapEnd);
  } else {
    state_.store(State::kOff);
    DisableOurs();
  }
}

// --- CUPTI's calls ----------------------------------------------------------

void Channel::Request(uint8_t** buffer, size_t* bytes, size_t* most) noexcept {
  const State now = state();
  const RequestBuffer request = request_.load();
  if ((now == State::kSession || now == State::kDraining) &&
      request != nullptr) {
    return request(buffer, bytes, most);
  }
  *most = 0;
  *bytes = BufferPool::kBytes;
  *buffer = pool_.Take();
  if (*buffer != nullptr) return;
  if (library_.version >= kMayDeclineVersion) {
    *bytes = 0;  // CUPTI counts what it drops
  } else {
    *buffer = pool_.Scratch();
  }
}

void Channel::Complete(void* context, uint32_t stream, uint8_t* buffer,
                       size_t bytes, size_t valid) noexcept {
  if (buffer == nullptr) return;
  const State now = state();
  if (pool_.IsScratch(buffer)) {
    // Written by several at once: nothing in it can be told apart.
    return NoteLost(1);
  }
  if (now != State::kOff && !stopped_.load()) CountDropped(context, stream);
  const bool others = now != State::kOff && valid > 0 && Enter(buffer, valid);
  if (pool_.Has(buffer)) {
    counts_.buffers.fetch_add(1);
    if (others && (now == State::kSession || now == State::kDraining)) {
      PassCopy(context, stream, buffer, valid);
    }
    pool_.Give(buffer);
    return;
  }
  const CompleteBuffer complete = complete_.load();
  if (complete == nullptr) return;
  counts_.passed.fetch_add(1);
  valid = TakeMemoryOut(library_, buffer, valid, wanted_.load());
  complete(context, stream, buffer, bytes, valid);
}

// A buffer of ours that was asked for as Kineto came: its records belong into
// one of Kineto's.
void Channel::PassCopy(void* context, uint32_t stream, uint8_t* buffer,
                       size_t valid) noexcept {
  const RequestBuffer request = request_.load();
  const CompleteBuffer complete = complete_.load();
  if (request == nullptr || complete == nullptr) return;
  valid = TakeMemoryOut(library_, buffer, valid, wanted_.load());
  uint8_t* theirs = nullptr;
  size_t bytes = 0, most = 0;
  request(&theirs, &bytes, &most);
  if (theirs == nullptr) return;
  const size_t fits = bytes >= valid ? valid : 0;
  std::memcpy(theirs, buffer, fits);
  complete(context, stream, theirs, bytes, fits);
  if (fits > 0) counts_.copied.fetch_add(1);
}

void Channel::CountDropped(void* context, uint32_t stream) noexcept {
  size_t dropped = 0;
  if (library_.dropped_records(context, stream, &dropped) != kSuccess ||
      dropped == 0) {
    return;
  }
  NoteLost(static_cast<int64_t>(dropped));
}

void Channel::NoteLost(int64_t records) noexcept {
  counts_.dropped.fetch_add(records);
  Record event = {};
  event.time_ns = static_cast<uint64_t>(Now(CLOCK_MONOTONIC));
  event.bytes = records;
  event.site = kNoSite;
  event.kind = static_cast<uint8_t>(EventKind::kCuptiLost);
  event.source = static_cast<uint8_t>(EventSource::kCupti);
  event.device = -1;
  std::lock_guard lock(mutex_);
  live_.MarkUncertain();
  Queue(event);
}

bool Channel::Enter(uint8_t* buffer, size_t valid) noexcept {
  bool others = false;
  ForEachRecord(library_, buffer, valid, [&](const void* record, size_t bytes) {
    if (IsMemory(KindOfRecord(record))) {
      if (!stopped_.load()) EnterRecord(record, bytes);
    } else {
      others = true;
    }
  });
  return others;
}

void Channel::EnterRecord(const void* record, size_t bytes) noexcept {
  Activity activity;
  if (!ReadActivity(record, bytes, &activity)) {
    counts_.unread.fetch_add(1);
    return;
  }
  counts_.records.fetch_add(1);
  const int64_t now = Now(CLOCK_MONOTONIC);
  // Where the time is of another clock, the moment that it became known.
  const int64_t told =
      static_cast<int64_t>(activity.time_ns) + clock_offset_ns_;
  constexpr int64_t kDay = 86'400'000'000'000;
  Record event = {};
  event.time_ns =
      static_cast<uint64_t>(told > now - kDay && told <= now ? told : now);
  event.address = activity.address;
  event.bytes = activity.bytes;
  event.stream = activity.pool_address;
  event.kind = static_cast<uint8_t>(
      activity.pool
          ? EventKind::kCuptiPool
          : (activity.alive ? EventKind::kCuptiAlloc : EventKind::kCuptiFree));
  event.source = static_cast<uint8_t>(EventSource::kCupti);
  event.device = static_cast<int8_t>(std::clamp(activity.device, -1, 127));
  event.action = static_cast<uint8_t>(activity.kind);
  std::lock_guard lock(mutex_);
  try {
    const uint16_t library =
        sources_ ? live_.Library(activity.source) : kNoLibrary;
    event.site = library == kNoLibrary ? kNoSite : library;
    live_.Enter(activity, library);
    Queue(event);
  } catch (const std::exception&) {  // std::bad_alloc
    live_.MarkUncertain();
    counts_.unread.fetch_add(1);
  }
}

}  // namespace invact::cupti
