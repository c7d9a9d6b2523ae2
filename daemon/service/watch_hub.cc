#include "daemon/service/watch_hub.h"

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/service/rpc_status.h"

namespace invact {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks(500);
constexpr absl::Duration kQueryTime = absl::Seconds(5);

}  // namespace

// Written to by the hub's thread, ended by it or by gRPC; mutex_ guards.
class WatchStream final : public grpc::ServerWriteReactor<v1::WatchRunResponse>,
                          public std::enable_shared_from_this<WatchStream> {
 public:
  // refused: what it ends with, whatever the hub's thread finds meanwhile.
  WatchStream(WatchHub* hub, std::string run_id,
              std::optional<absl::Status> refused)
      : hub_(hub),
        call_(hub->activity_),
        run_id_(std::move(run_id)),
        end_(std::move(refused)) {}

  const std::string& run_id() const { return run_id_; }

  // Sends what differs from what was sent before; a slow caller misses steps
  // between, never the end.
  void Offer(const v1::Run& run, const std::optional<v1::StepTotals>& step) {
    std::lock_guard lock(mutex_);
    if (writing_ || end_) return;
    const bool ended = run.state() != "running";
    const int64_t index = step ? step->index() : -1;
    const bool news = !sent_ || ended || index != sent_step_;
    if (!news) return;
    response_.Clear();
    *response_.mutable_run() = run;
    if (step) *response_.mutable_step() = *step;
    sent_ = true;
    sent_step_ = index;
    if (ended) end_ = absl::OkStatus();
    writing_ = true;
    StartWrite(&response_);
  }

  void End(const absl::Status& status) {
    std::lock_guard lock(mutex_);
    if (!end_) end_ = status;
    FinishIfDone();
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok && !end_) end_ = absl::CancelledError("the caller is gone");
    FinishIfDone();
    // What came while the write was under way.
    hub_->Notify();
  }

  void OnCancel() override { End(absl::CancelledError("cancelled")); }

  void OnDone() override {
    std::shared_ptr<WatchStream> self = shared_from_this();
    std::lock_guard lock(hub_->mutex_);
    hub_->streams_.erase(self);
  }

 private:
  void FinishIfDone() {
    if (!end_ || writing_ || finished_) return;
    finished_ = true;
    Finish(ToGrpc(*end_));
  }

  WatchHub* const hub_;
  const Activity::Call call_;
  const std::string run_id_;
  std::mutex mutex_;
  v1::WatchRunResponse response_;
  bool writing_ = false, finished_ = false, sent_ = false;
  int64_t sent_step_ = -1;
  std::optional<absl::Status> end_;
};

WatchHub::WatchHub(Reader* reader, Activity* activity)
    : reader_(reader), activity_(activity), thread_([this] { Loop(); }) {}

WatchHub::~WatchHub() { Stop(); }

void WatchHub::Notify() {
  std::lock_guard lock(mutex_);
  dirty_ = true;
  wake_.notify_one();
}

grpc::ServerWriteReactor<v1::WatchRunResponse>* WatchHub::Watch(
    const std::string& run_id, const absl::Status& refused) {
  std::optional<absl::Status> end;
  if (!refused.ok()) end = refused;
  auto stream = std::make_shared<WatchStream>(this, run_id, std::move(end));
  absl::Status status = refused;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) status = absl::UnavailableError("the daemon is stopping");
    streams_.insert(stream);
    dirty_ = true;
    wake_.notify_one();
  }
  if (!status.ok()) stream->End(status);
  return stream.get();
}

void WatchHub::Stop() {
  std::vector<std::shared_ptr<WatchStream>> streams;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
    streams.assign(streams_.begin(), streams_.end());
  }
  if (thread_.joinable()) thread_.join();
  for (const auto& stream : streams) {
    stream->End(absl::UnavailableError("the daemon is stopping"));
  }
}

void WatchHub::Loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait(lock,
               [this] { return stopping_ || (dirty_ && !streams_.empty()); });
    if (stopping_) return;
    dirty_ = false;
    std::vector<std::shared_ptr<WatchStream>> streams(streams_.begin(),
                                                      streams_.end());
    lock.unlock();
    for (const auto& stream : streams) Look(*stream);
    streams.clear();
    lock.lock();
    wake_.wait_for(lock, kBetweenLooks, [this] { return stopping_; });
  }
}

void WatchHub::Look(WatchStream& stream) {
  absl::StatusOr<ReadSession> session =
      reader_->Start(absl::Now() + kQueryTime);
  if (!session.ok()) return stream.End(session.status());
  absl::StatusOr<std::vector<RunRow>> rows = session->Match(stream.run_id());
  if (!rows.ok()) return stream.End(rows.status());
  if (rows->size() != 1) {
    return stream.End(absl::NotFoundError("the run was removed"));
  }
  auto step = session->NewestStep((*rows)[0].pk);
  if (!step.ok()) return stream.End(step.status());
  stream.Offer((*rows)[0].run, *step);
}

}  // namespace invact
