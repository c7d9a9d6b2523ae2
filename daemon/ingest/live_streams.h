// Which runs have an open stream, how many messages were refused, and when
// anything last happened. Any thread.
#ifndef INVACT_DAEMON_INGEST_LIVE_STREAMS_H_
#define INVACT_DAEMON_INGEST_LIVE_STREAMS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace invact {

class LiveStreams {
 public:
  void Add(const std::string& run_id) {
    std::lock_guard lock(mutex_);
    ++runs_[run_id].streams;
  }
  void Remove(const std::string& run_id) {
    std::lock_guard lock(mutex_);
    Entry& entry = runs_[run_id];
    --entry.streams;
    entry.gone_at = absl::Now();
  }
  bool IsOpen(const std::string& run_id) const {
    std::lock_guard lock(mutex_);
    const auto found = runs_.find(run_id);
    return found != runs_.end() && found->second.streams > 0;
  }
  // InfinitePast: no stream was seen since the daemon started.
  absl::Time GoneAt(const std::string& run_id) const {
    std::lock_guard lock(mutex_);
    const auto found = runs_.find(run_id);
    return found == runs_.end() ? absl::InfinitePast() : found->second.gone_at;
  }
  void Forget(const std::string& run_id) {
    std::lock_guard lock(mutex_);
    const auto found = runs_.find(run_id);
    if (found != runs_.end() && found->second.streams == 0) runs_.erase(found);
  }

  std::atomic<int64_t> open{0};      // streams, with or without a run yet
  std::atomic<int64_t> rejected{0};  // messages that a gate refused
  std::atomic<int64_t> batches{0};   // committed

 private:
  struct Entry {
    int streams = 0;
    absl::Time gone_at = absl::InfinitePast();
  };
  mutable std::mutex mutex_;
  std::map<std::string, Entry> runs_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_INGEST_LIVE_STREAMS_H_
