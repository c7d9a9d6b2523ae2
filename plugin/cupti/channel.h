// The way of CUPTI's records of memory into this process: Activity API without
// a subscriber, beside torch's own profiler (Kineto), which always wins.
//
// CUPTI knows one pair of buffer callbacks, the last that was registered, and
// one set of enabled kinds. Kineto registers at the begin of each of its
// sessions. Its calls come through import slots of libtorch_cpu.so, which are
// redirected to the On... functions here:
//
//   kOff       not started, given up, or a forked child: everything passes
//   kActive    our callbacks, our buffers
//   kSession   Kineto registered: its pair is kept, ours stays with CUPTI. Its
//              request callback is asked for each buffer; of a completed buffer
//              our records are read, taken out, and the rest is passed on. Our
//              buffers that CUPTI held were flushed by force before, or
//              Kineto's records would have gone there
//   kDraining  Kineto disabled all its kinds and has yet to flush: its buffers
//              are still asked for. Its forced flush ends it, or a minute
//   kYielded   multiplexing can't be: Kineto's pair is with CUPTI, our kinds
//   are
//              off. A gap. Restart ends it after Kineto's forced flush
//
// kSession and kDraining need the slots of register, enable, disable and flush;
// with register and disable alone it yields; without them it does not start.
// Kineto's cuptiFinalize (TEARDOWN_CUPTI=1) ends what we had too: a gap.
//
// Owner: the process, once, never destroyed: CUPTI may call at any time.
// Threads: any. No lock is held while CUPTI or Kineto is called; the one lock
// (table and queue) is a leaf. Flush may not be called from CUPTI's callbacks.
// Nothing throws. cuptiFinalize is never called but for Kineto.
#ifndef INVACT_PLUGIN_CUPTI_CHANNEL_H_
#define INVACT_PLUGIN_CUPTI_CHANNEL_H_

#include <atomic>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "plugin/brief_lock.h"
#include "plugin/cupti/buffer_pool.h"
#include "plugin/cupti/live_memory.h"
#include "plugin/ring/ring_layout.h"

namespace invact::cupti {

enum class State : int { kOff, kActive, kSession, kDraining, kYielded };

// What was counted. Never falls.
struct Counts {
  std::atomic<int64_t> records{0};   // of memory, entered
  std::atomic<int64_t> unread{0};    // of memory, of a shape not known
  std::atomic<int64_t> dropped{0};   // told by CUPTI, or not given a buffer
  std::atomic<int64_t> unqueued{0};  // entered, but not told as an event
  std::atomic<int64_t> buffers{0};   // of ours, completed
  std::atomic<int64_t> passed{0};    // to Kineto
  std::atomic<int64_t> copied{0};    // Kineto's records from ours into its
  std::atomic<int64_t> sessions{0};  // of Kineto
  std::atomic<int64_t> gaps{0};
};

class Channel {
 public:
  static constexpr size_t kMostQueued = 16384;
  static constexpr int64_t kLongestDrainNs = 60'000'000'000;
  static constexpr int kUnseenFlush = 4;  // calls of Flush

  // Never destroyed.
  static Channel& Get();

  // Redirects the slots of `client` ("libtorch_cpu.so"). Nothing of CUPTI is
  // called. False with the reason where it may not be started.
  bool Prepare(const char* client, std::string* why) noexcept;

  // Registers and enables; `sources`: names of libraries too. After the job's
  // own cuInit. False with the reason; it may then not be tried again.
  bool Start(bool sources, std::string* why) noexcept;

  // What CUPTI has of complete records, unless Kineto is at work: it counts its
  // buffers, and its flush brings ours as well. Ends a gap that may be ended.
  // True where all records up to now are in the table.
  bool Flush() noexcept;

  // Events since the last call, oldest first, at most kMostQueued, instead of
  // what `out` held. `site` is the number of a library (LiveMemory::Library),
  // kNoSite: none.
  void TakeEvents(std::vector<Record>* out) noexcept;

  // f(const LiveMemory&) under the lock: brief, nothing foreign.
  template <typename F>
  auto Read(F f) const {
    std::lock_guard lock(mutex_);
    return f(live_);
  }
  const Counts& counts() const { return counts_; }
  State state() const { return state_.load(std::memory_order_acquire); }
  bool multiplexes() const { return multiplexes_; }
  uint32_t version() const { return library_.version; }
  bool names_libraries() const { return sources_; }

  // For good: buffers go on to whom they belong, nothing is read or flushed.
  void Stop() noexcept { stopped_.store(true); }

  // Kineto's calls.
  Result OnRegister(RequestBuffer request, CompleteBuffer complete) noexcept;
  Result OnEnable(uint32_t kind) noexcept;
  Result OnDisable(uint32_t kind) noexcept;
  Result OnFlush(uint32_t flags) noexcept;
  Result OnFinalize() noexcept;
  // CUPTI's.
  void Request(uint8_t** buffer, size_t* bytes, size_t* most) noexcept;
  void Complete(void* context, uint32_t stream, uint8_t* buffer, size_t bytes,
                size_t valid) noexcept;

 private:
  Channel() = default;

  bool EnableOurs(std::string* why) noexcept;
  void DisableOurs() noexcept;
  Result Yield(RequestBuffer request, CompleteBuffer complete) noexcept;
  void Restart() noexcept;
  void Note(EventKind kind) noexcept;
  // Whether there are records of other kinds, too.
  bool Enter(uint8_t* buffer, size_t valid) noexcept;
  void EnterRecord(const void* record, size_t bytes) noexcept;
  void Queue(const Record& event) noexcept;
  void HandOn(void* context, uint32_t stream, uint8_t* buffer,
              size_t valid) noexcept;
  void PassCopy(void* context, uint32_t stream, uint8_t* buffer,
                size_t valid) noexcept;
  void NoteLost(int64_t records) noexcept;
  void CountDropped(void* context, uint32_t stream) noexcept;
  bool Wants(uint32_t kind) const noexcept {
    return kind < 64 && (wanted_.load() >> kind & 1) != 0;
  }

  Library library_;
  std::atomic<State> state_{State::kOff};
  std::atomic<bool> stopped_{false};
  bool prepared_ = false, multiplexes_ = false, sees_flush_ = false;
  bool sources_ = false;
  std::atomic<RequestBuffer> request_{nullptr};    // Kineto's
  std::atomic<CompleteBuffer> complete_{nullptr};  // Kineto's
  std::atomic<uint64_t> wanted_{0};  // kinds that Kineto has enabled
  std::atomic<int> restart_in_{0};   // in kYielded: calls of Flush, 0: never
  std::atomic<int64_t> draining_since_ns_{0};
  BufferPool pool_;
  Counts counts_;
  mutable BriefLock mutex_;
  LiveMemory live_;
  std::vector<Record> queue_;
  int64_t clock_offset_ns_ = 0;  // CLOCK_MONOTONIC - CLOCK_REALTIME
};

}  // namespace invact::cupti

#endif  // INVACT_PLUGIN_CUPTI_CHANNEL_H_
