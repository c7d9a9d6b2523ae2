// The writer thread: takes jobs in order, puts many into one commit, and says
// so to each only after COMMIT.
//
// Any thread may Submit; `apply` and `done` run on the writer thread, and
// `done` must be quick. The queue is bounded by bytes: above the high mark
// Submit asks the caller to pause until its `resume`; above the hard limit it
// refuses. Where the disk is full or the file can't be written, batches stay
// in the queue and are tried again every second, so acknowledgements stop and
// come back by themselves; other jobs fail at once.
#ifndef INVACT_DAEMON_INGEST_WRITER_H_
#define INVACT_DAEMON_INGEST_WRITER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/store/store.h"

namespace invact {

struct WriterOptions {
  size_t high_mark_bytes = 16 << 20;
  size_t hard_limit_bytes = 64 << 20;
  // At most this much goes into one commit.
  size_t group_bytes = 8 << 20;
  absl::Duration retry = absl::Seconds(1);
};

struct WriteJob {
  size_t bytes = 0;
  // May be called again after a failed commit.
  std::function<absl::Status(Store&)> apply;
  // ok: committed. Called exactly once.
  std::function<void(const absl::Status&)> done;
  // Stays in the queue while the file can't be written.
  bool keep_trying = false;
};

class Writer {
 public:
  enum class Accepted { kYes, kPause, kRefused };

  // `after_commit` runs on the writer thread after each commit. The store
  // must outlive the writer.
  Writer(Store* store, WriterOptions options,
         std::function<void()> after_commit);
  ~Writer();  // as Stop
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // kPause: accepted, but call no more before `resume` was called (once, on
  // the writer thread). kRefused: `done` is not called.
  Accepted Submit(WriteJob job, std::function<void()> resume = nullptr);
  // Runs the job and waits for its commit.
  absl::Status Run(std::function<absl::Status(Store&)> apply);
  // Commits what is queued, fails what can't be committed, ends the thread.
  void Stop();

  int64_t commits() const { return commits_; }
  // Not ok while the file can't be written.
  absl::Status health() const;

 private:
  void Loop();
  // Takes a group off the queue; empty after Stop.
  std::vector<WriteJob> TakeGroup();
  void CommitGroup(std::vector<WriteJob> group);
  // One transaction; ok: committed, and each job was told.
  absl::Status Try(std::vector<WriteJob>& group);
  void Fail(const WriteJob& job, const absl::Status& why);
  // Puts jobs back in front of the queue, and waits before the next attempt.
  void WaitWith(std::vector<WriteJob> jobs, const absl::Status& why);
  void EnforceQuota();
  void Idle();

  Store* const store_;
  const WriterOptions options_;
  const std::function<void()> after_commit_;
  std::atomic<int64_t> commits_{0};

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<WriteJob> queue_;
  size_t queued_bytes_ = 0;
  std::vector<std::function<void()>> paused_;
  bool stopping_ = false;
  bool room_wanted_ = false;  // a job came that may end the wait
  absl::Status health_;

  int64_t bytes_since_quota_ = 0;  // writer thread only
  std::thread thread_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_INGEST_WRITER_H_
