#include "daemon/ingest/writer.h"

#include <malloc.h>

#include <chrono>
#include <future>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/log.h"

namespace invact {
namespace {

constexpr int64_t kQuotaEveryBytes = 16 << 20;
constexpr std::chrono::seconds kIdleCheckpoint(5);

}  // namespace

Writer::Writer(Store* store, WriterOptions options,
               std::function<void()> after_commit)
    : store_(store),
      options_(options),
      after_commit_(std::move(after_commit)),
      thread_([this] { Loop(); }) {}

Writer::~Writer() { Stop(); }

Writer::Accepted Writer::Submit(WriteJob job, std::function<void()> resume) {
  std::lock_guard lock(mutex_);
  if (stopping_ || queued_bytes_ + job.bytes > options_.hard_limit_bytes) {
    return Accepted::kRefused;
  }
  queued_bytes_ += job.bytes;
  // Who doesn't wait for the disk is not made to wait for those who do.
  room_wanted_ |= !job.keep_trying;
  queue_.push_back(std::move(job));
  wake_.notify_one();
  if (resume && queued_bytes_ > options_.high_mark_bytes) {
    paused_.push_back(std::move(resume));
    return Accepted::kPause;
  }
  return Accepted::kYes;
}

absl::Status Writer::Run(std::function<absl::Status(Store&)> apply) {
  auto result = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> future = result->get_future();
  WriteJob job;
  job.apply = std::move(apply);
  job.done = [result](const absl::Status& s) { result->set_value(s); };
  if (Submit(std::move(job)) == Accepted::kRefused) {
    return absl::UnavailableError("the daemon is stopping or overloaded");
  }
  return future.get();
}

void Writer::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

absl::Status Writer::health() const {
  std::lock_guard lock(mutex_);
  return health_;
}

void Writer::Loop() {
  while (true) {
    std::vector<WriteJob> group = TakeGroup();
    if (group.empty()) return;
    CommitGroup(std::move(group));
  }
}

std::vector<WriteJob> Writer::TakeGroup() {
  std::unique_lock lock(mutex_);
  bool idle = false;
  while (queue_.empty() && !stopping_) {
    if (idle) {
      wake_.wait(lock);
    } else if (wake_.wait_for(lock, kIdleCheckpoint) ==
                   std::cv_status::timeout &&
               queue_.empty()) {
      idle = true;
      lock.unlock();
      Idle();
      lock.lock();
    }
  }
  std::vector<WriteJob> group;
  size_t bytes = 0;
  while (!queue_.empty() && (group.empty() || bytes < options_.group_bytes)) {
    bytes += queue_.front().bytes;
    group.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return group;
}

absl::Status Writer::Try(std::vector<WriteJob>& group) {
  std::vector<absl::Status> results(group.size());
  absl::Status status = store_->Begin();
  for (size_t i = 0; i < group.size() && status.ok(); ++i) {
    results[i] = group[i].apply(*store_);
    if (IsStoreFailure(results[i])) status = results[i];
  }
  if (status.ok()) status = store_->Commit();
  if (!status.ok()) {
    store_->Rollback();
    return status;
  }
  ++commits_;
  size_t bytes = 0;
  for (const WriteJob& job : group) bytes += job.bytes;
  std::vector<std::function<void()>> resume;
  {
    std::lock_guard lock(mutex_);
    queued_bytes_ -= bytes;
    health_ = absl::OkStatus();
    if (queued_bytes_ <= options_.high_mark_bytes / 2) resume.swap(paused_);
  }
  for (size_t i = 0; i < group.size(); ++i) group[i].done(results[i]);
  for (auto& call : resume) call();
  after_commit_();
  bytes_since_quota_ += bytes;
  if (bytes_since_quota_ >= kQuotaEveryBytes) {
    bytes_since_quota_ = 0;
    EnforceQuota();
  }
  return status;
}

void Writer::CommitGroup(std::vector<WriteJob> group) {
  const absl::Status why = Try(group);
  if (why.ok()) return;
  // An internal error comes from one job, which must not hold up the others;
  // and a job that makes room on a full disk must not wait for those that need
  // it.
  const bool one_is_wrong = absl::IsInternal(why);
  std::vector<WriteJob> waiting;
  for (WriteJob& job : group) {
    const bool waits = job.keep_trying && !one_is_wrong;
    absl::Status status = why;
    if (!waits && group.size() > 1) {
      std::vector<WriteJob> alone;
      alone.push_back(std::move(job));
      status = Try(alone);
      job = std::move(alone[0]);
    }
    if (status.ok()) continue;
    if (job.keep_trying && !absl::IsInternal(status)) {
      waiting.push_back(std::move(job));
    } else {
      Fail(job, status);
    }
  }
  if (!waiting.empty()) WaitWith(std::move(waiting), why);
}

void Writer::Fail(const WriteJob& job, const absl::Status& why) {
  {
    std::lock_guard lock(mutex_);
    queued_bytes_ -= job.bytes;
  }
  job.done(why);
}

void Writer::WaitWith(std::vector<WriteJob> jobs, const absl::Status& why) {
  std::vector<std::function<void()>> resume;
  {
    std::lock_guard lock(mutex_);
    health_ = why;
    if (!stopping_) {
      queue_.insert(queue_.begin(), std::make_move_iterator(jobs.begin()),
                    std::make_move_iterator(jobs.end()));
      jobs.clear();
    } else {
      resume.swap(paused_);
    }
  }
  for (const WriteJob& job : jobs) Fail(job, why);
  for (auto& call : resume) call();
  // Old events may make the room that is missing.
  EnforceQuota();
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, absl::ToChronoMilliseconds(options_.retry),
                 [this] { return stopping_ || room_wanted_; });
  room_wanted_ = false;
}

void Writer::EnforceQuota() {
  const absl::StatusOr<int64_t> dropped = store_->EnforceQuota();
  if (!dropped.ok()) {
    LogError(absl::StrCat("quota: ", dropped.status().message()));
  } else if (*dropped > 0) {
    LogInfo(absl::StrCat("quota: dropped the ", *dropped, " oldest events"));
  }
}

void Writer::Idle() {
  EnforceQuota();
  if (absl::Status status = store_->Checkpoint(); !status.ok()) {
    LogDebug(absl::StrCat("checkpoint: ", status.message()));
  }
  // After a burst of 256 streams, glibc kept 109 MiB for later.
  malloc_trim(0);
}

}  // namespace invact
