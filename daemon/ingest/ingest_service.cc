#include "daemon/ingest/ingest_service.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/ingest/validate.h"
#include "daemon/service/rpc_status.h"

namespace invact {

// Lives until OnDone and until its last job in the writer's queue is done.
// gRPC's threads and the writer's come in; `mutex_` guards all of it. gRPC
// allows one write at a time and nothing after Finish: Advance sees to both.
class IngestStream final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public std::enable_shared_from_this<IngestStream> {
 public:
  explicit IngestStream(IngestService* service) : service_(service) {
    ++service_->live_->open;
  }

  void Begin(const absl::Status& admitted) {
    std::lock_guard lock(mutex_);
    if (admitted.ok()) {
      StartRead(&bytes_);
    } else {
      EndWith(admitted);
      Advance();
    }
  }

  void Drain() {
    std::lock_guard lock(mutex_);
    EndWith(absl::UnavailableError(
        "the daemon is stopping; go on from the last acknowledged batch"));
    Advance();
  }

  void OnReadDone(bool ok) override {
    std::lock_guard lock(mutex_);
    if (!ok) {
      EndWith(absl::OkStatus());  // half-closed; OnCancel tells a lost peer
    } else if (!end_) {
      const absl::Status status = Take();
      if (!status.ok()) {
        ++service_->live_->rejected;
        EndWith(status);
      }
    }
    Advance();
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) EndWith(absl::CancelledError("the relay is gone"));
    Advance();
  }

  void OnCancel() override {
    std::lock_guard lock(mutex_);
    EndWith(absl::CancelledError("the relay is gone"));
    Advance();
  }

  void OnDone() override {
    std::shared_ptr<IngestStream> self = shared_from_this();
    {
      std::lock_guard lock(mutex_);
      finished_ = true;
    }
    if (!run_id_.empty()) service_->live_->Remove(run_id_);
    --service_->live_->open;
    std::lock_guard lock(service_->mutex_);
    service_->streams_.erase(self);
  }

 private:
  // The first end counts. What was read before it is still committed.
  void EndWith(absl::Status status) {
    if (!end_) end_ = std::move(status);
  }

  absl::Status Take() {
    if (!grpc::SerializationTraits<v1::StreamRequest>::Deserialize(&bytes_,
                                                                   &request_)
             .ok()) {
      return absl::InvalidArgumentError(
          "not a StreamRequest: malformed, or a name that is not UTF-8");
    }
    switch (request_.message_case()) {
      case v1::StreamRequest::kHello:
        return TakeHello();
      case v1::StreamRequest::kBatch:
        return TakeBatch();
      default:
        return absl::InvalidArgumentError("neither a hello nor a batch");
    }
  }

  absl::Status TakeHello() {
    if (hello_) return absl::InvalidArgumentError("a second hello");
    absl::Status status = ValidateHello(request_.hello());
    if (!status.ok()) return status;
    hello_ = std::make_shared<v1::Hello>();
    hello_->Swap(request_.mutable_hello());
    run_id_ = hello_->run().id();
    service_->live_->Add(run_id_);
    WriteJob job;
    job.bytes = hello_->ByteSizeLong();
    auto opened = std::make_shared<OpenedRun>();
    job.apply = [hello = hello_, opened](Store& store) -> absl::Status {
      absl::StatusOr<OpenedRun> run =
          store.OpenRun(*hello, absl::ToUnixNanos(absl::Now()));
      if (run.ok()) *opened = *run;
      return run.status();
    };
    job.keep_trying = true;
    job.done = [self = shared_from_this(), opened](const absl::Status& s) {
      self->OnOpened(s, *opened);
    };
    ++jobs_;
    if (service_->writer_->Submit(std::move(job)) ==
        Writer::Accepted::kRefused) {
      --jobs_;
      return absl::ResourceExhaustedError("overloaded; try again later");
    }
    return absl::OkStatus();
  }

  void OnOpened(const absl::Status& status, const OpenedRun& run) {
    std::lock_guard lock(mutex_);
    --jobs_;
    if (status.ok()) {
      run_ = run.pk;
      acked_ = sent_ack_ = run.last_seq;
      welcome_due_ = true;
      if (!end_) StartRead(&bytes_);
    } else {
      ++service_->live_->rejected;
      EndWith(status);
    }
    Advance();
  }

  absl::Status TakeBatch() {
    if (run_ == 0) {
      return absl::FailedPreconditionError("a batch before the hello");
    }
    absl::Status status = ValidateBatch(request_.batch());
    if (!status.ok()) return status;
    auto batch = std::make_shared<v1::Batch>();
    batch->Swap(request_.mutable_batch());
    WriteJob job;
    job.bytes = batch->ByteSizeLong() + sizeof(WriteJob);
    job.keep_trying = true;
    job.apply = [batch, run = run_](Store& store) {
      return store.AppendBatch(run, *batch, absl::ToUnixNanos(absl::Now()));
    };
    job.done = [self = shared_from_this(), batch](const absl::Status& s) {
      self->OnCommitted(s, batch->seq());
    };
    ++jobs_;
    switch (service_->writer_->Submit(
        std::move(job), [self = shared_from_this()] { self->Resume(); })) {
      case Writer::Accepted::kYes:
        StartRead(&bytes_);
        break;
      case Writer::Accepted::kPause:
        break;  // Resume reads on
      case Writer::Accepted::kRefused:
        --jobs_;
        return absl::ResourceExhaustedError("overloaded; try again later");
    }
    return absl::OkStatus();
  }

  void OnCommitted(const absl::Status& status, uint64_t seq) {
    std::lock_guard lock(mutex_);
    --jobs_;
    if (status.ok()) {
      ++service_->live_->batches;
      // A batch that came twice is acknowledged twice.
      acked_ = std::max(acked_, seq);
      ack_due_ = true;
    } else {
      ++service_->live_->rejected;
      EndWith(status);
    }
    Advance();
  }

  void Resume() {
    std::lock_guard lock(mutex_);
    if (!end_) StartRead(&bytes_);
  }

  // Starts the one write that is due, or finishes when all is said.
  void Advance() {
    if (finished_ || writing_) return;
    if (welcome_due_ || ack_due_) {
      v1::StreamResponse response;
      if (welcome_due_) {
        welcome_due_ = false;
        response.mutable_welcome()->set_last_seq(acked_);
        response.mutable_welcome()->set_protocol_major(kProtocolMajor);
        response.mutable_welcome()->set_protocol_minor(kProtocolMinor);
      } else {
        ack_due_ = false;
        sent_ack_ = acked_;
        response.mutable_ack()->set_seq(acked_);
      }
      if (!end_ || !absl::IsCancelled(*end_)) {
        writing_ = true;
        bool own = false;
        reply_.Clear();
        grpc::SerializationTraits<v1::StreamResponse>::Serialize(response,
                                                                 &reply_, &own);
        StartWrite(&reply_);
        return;
      }
    }
    if (end_ && (jobs_ == 0 || absl::IsCancelled(*end_))) {
      finished_ = true;
      Finish(ToGrpc(*end_));
    }
  }

  IngestService* const service_;
  std::mutex mutex_;
  v1::StreamRequest request_;
  grpc::ByteBuffer bytes_, reply_;  // of the read and write under way
  std::shared_ptr<v1::Hello> hello_;
  std::string run_id_;
  int64_t run_ = 0;
  uint64_t acked_ = 0, sent_ack_ = 0;
  bool welcome_due_ = false, ack_due_ = false;
  bool writing_ = false, finished_ = false;
  int jobs_ = 0;  // in the writer's queue
  std::optional<absl::Status> end_;
};

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>*
IngestService::Stream(grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<IngestStream>(this);
  absl::Status admitted = auth_->Check(*context);
  {
    std::lock_guard lock(mutex_);
    streams_.insert(stream);
    if (draining_) admitted = absl::UnavailableError("the daemon is stopping");
  }
  stream->Begin(admitted);
  return stream.get();
}

void IngestService::Drain() {
  std::vector<std::shared_ptr<IngestStream>> streams;
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
    streams.assign(streams_.begin(), streams_.end());
  }
  for (const auto& stream : streams) stream->Drain();
}

}  // namespace invact
