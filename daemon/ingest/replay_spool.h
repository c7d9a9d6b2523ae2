// Replays the segments of one spool into the store and disposes of them.
//
// Owned by one call of SpoolAdopter::Pass, which holds the spool's lock; its
// thread waits for the writer's.
#ifndef INVACT_DAEMON_INGEST_REPLAY_SPOOL_H_
#define INVACT_DAEMON_INGEST_REPLAY_SPOOL_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "daemon/ingest/writer.h"
#include "proto/spool_format.h"

namespace invact {

// Jobs of the writer that are under way, and the first that failed. Outlives
// its owner where a job is still queued.
class PendingJobs {
 public:
  // Waits until few enough bytes are under way; false after a failure.
  bool WaitForRoom();
  void Add(size_t bytes);
  void Done(size_t bytes, const absl::Status& status);
  // Waits for all; the first failure.
  absl::Status Wait();

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  size_t bytes_ = 0;
  int jobs_ = 0;
  absl::Status failed_;
};

struct ReplayResult {
  // Some of it stays for another pass, or for another version of invact.
  bool left_over = false;
  bool opened = false;  // the run is in the store
  int64_t batches = 0;  // read, whether they were new or not
  int set_aside = 0;    // segments kept as *.corrupt
  std::vector<std::string> notes;
};

// dir: the spool's folder; segments: names in it, in order. `stopping` ends it
// early, with left_over.
ReplayResult ReplaySpool(int dir, const std::string& run_id,
                         const std::vector<std::string>& segments,
                         Writer* writer, const std::function<bool()>& stopping);

}  // namespace invact

#endif  // INVACT_DAEMON_INGEST_REPLAY_SPOOL_H_
