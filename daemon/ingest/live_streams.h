// Which runs have an open stream, since when the others have none, and how
// many messages were taken and refused. Any thread.
#ifndef INVACT_DAEMON_INGEST_LIVE_STREAMS_H_
#define INVACT_DAEMON_INGEST_LIVE_STREAMS_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace invact {

class LiveStreams {
 public:
  // The machine's clock may jump: leases are measured by one that doesn't.
  using Clock = std::chrono::steady_clock;

  void Add(const std::string& run_id) {
    std::lock_guard lock(mutex_);
    ++runs_[run_id].streams;
  }
  void Remove(const std::string& run_id) {
    std::lock_guard lock(mutex_);
    Entry& entry = runs_[run_id];
    --entry.streams;
    entry.gone_at = Clock::now();
  }
  bool IsOpen(const std::string& run_id) const {
    std::lock_guard lock(mutex_);
    const auto found = runs_.find(run_id);
    return found != runs_.end() && found->second.streams > 0;
  }
  // When the run's last stream ended; for a run without one since this object
  // was made, that moment.
  Clock::time_point GoneAt(const std::string& run_id) const {
    std::lock_guard lock(mutex_);
    const auto found = runs_.find(run_id);
    return found == runs_.end() ? started_ : found->second.gone_at;
  }
  // Forgets runs whose stream ended before that.
  void ForgetGoneBefore(Clock::time_point time) {
    std::lock_guard lock(mutex_);
    for (auto at = runs_.begin(); at != runs_.end();) {
      const Entry& entry = at->second;
      const bool old = entry.streams == 0 && entry.gone_at < time;
      at = old ? runs_.erase(at) : std::next(at);
    }
  }

  std::atomic<int64_t> open{0};      // streams, with or without a run yet
  std::atomic<int64_t> rejected{0};  // messages that a gate refused
  std::atomic<int64_t> batches{0};   // committed

 private:
  struct Entry {
    int streams = 0;
    Clock::time_point gone_at;
  };
  const Clock::time_point started_ = Clock::now();
  mutable std::mutex mutex_;
  std::map<std::string, Entry> runs_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_INGEST_LIVE_STREAMS_H_
