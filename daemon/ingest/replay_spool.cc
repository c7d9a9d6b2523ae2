#include "daemon/ingest/replay_spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/ingest/spool_file.h"
#include "daemon/ingest/validate.h"

namespace invact {
namespace {

// Streams of live runs need the writer, too.
constexpr size_t kBytesUnderWay = 4 << 20;

// What becomes of a segment.
enum class Fate { kTaken, kDamaged, kLeft };

class Replay {
 public:
  Replay(int dir, const std::string& run_id, Writer* writer,
         const std::function<bool()>& stopping)
      : dir_(dir), run_id_(run_id), writer_(writer), stopping_(stopping) {}

  ReplayResult Run(const std::vector<std::string>& segments) {
    for (const std::string& name : segments) {
      segment_ = name;
      Fate fate = Segment();
      const absl::Status committed = pending_->Wait();
      if (!committed.ok()) fate = AfterFailure(committed);
      if (fate == Fate::kLeft) {
        result_.left_over = true;
        break;
      }
      Dispose(fate);
      pending_ = std::make_shared<PendingJobs>();
    }
    return std::move(result_);
  }

 private:
  Fate Note(Fate fate, absl::string_view what) {
    result_.notes.push_back(
        absl::StrCat("spool of run ", run_id_, ", ", segment_, ": ", what));
    return fate;
  }
  Fate Damaged(absl::string_view why) {
    return Note(Fate::kDamaged,
                absl::StrCat(why,
                             "; what is before it is used, the file is "
                             "kept as ",
                             segment_, ".corrupt"));
  }

  Fate Segment() {
    absl::StatusOr<SpoolFile> file = SpoolFile::Open(dir_, segment_);
    if (!file.ok()) return Note(Fate::kLeft, file.status().message());
    SegmentHeader header;
    const SpoolStatus status = file->Header(&header);
    if (!file->error().ok()) return Note(Fate::kLeft, file->error().message());
    if (status != SpoolStatus::kOk) return AtEnd(status);
    if (header.run_id != run_id_) return Damaged("belongs to another run");
    Frame frame;
    for (bool first = true;; first = false) {
      if (stopping_()) return Fate::kLeft;
      const SpoolStatus next = file->Next(&frame);
      if (!file->error().ok()) {
        return Note(Fate::kLeft, file->error().message());
      }
      if (next != SpoolStatus::kOk) return AtEnd(next);
      v1::StreamRequest request;
      if (!request.ParseFromArray(frame.payload.data(),
                                  static_cast<int>(frame.payload.size()))) {
        return Damaged("holds something else than a message");
      }
      if (first != (frame.seq == 0) || first != request.has_hello()) {
        return Damaged("a hello is missing or in the wrong place");
      }
      const Fate fate =
          first ? Hello(*request.mutable_hello()) : Batch(frame.seq, request);
      if (fate != Fate::kTaken) return fate;
    }
  }

  Fate AtEnd(SpoolStatus status) {
    switch (status) {
      case SpoolStatus::kEnd:
        return Fate::kTaken;
      case SpoolStatus::kTorn:
        return Note(Fate::kTaken, Text(status));
      case SpoolStatus::kNewVersion:
        return Note(Fate::kLeft, absl::StrCat(Text(status), ", it is left"));
      default:
        return Damaged(Text(status));
    }
  }
  static absl::string_view Text(SpoolStatus status) {
    const std::string_view text = Describe(status);
    return absl::string_view(text.data(), text.size());
  }

  Fate Hello(v1::Hello& hello_untrusted) {
    const absl::Status valid = ValidateHello(hello_untrusted);
    if (absl::IsFailedPrecondition(valid)) {
      return Note(Fate::kLeft,
                  absl::StrCat(valid.message(), "; it is left as it is"));
    }
    if (!valid.ok()) return Damaged(valid.message());
    if (hello_untrusted.run().id() != run_id_) {
      return Damaged("its hello names another run");
    }
    if (run_ != 0) return Fate::kTaken;
    v1::Hello hello;
    hello.Swap(&hello_untrusted);
    OpenedRun opened;
    const absl::Status status = writer_->Run([&](Store& store) -> absl::Status {
      auto run = store.OpenRun(hello, absl::ToUnixNanos(absl::Now()));
      if (run.ok()) opened = *run;
      return run.status();
    });
    if (absl::IsPermissionDenied(status)) return Damaged(status.message());
    if (!status.ok()) return Note(Fate::kLeft, status.message());
    run_ = opened.pk;
    result_.opened = true;
    return Fate::kTaken;
  }

  Fate Batch(uint64_t seq, v1::StreamRequest& request) {
    if (!request.has_batch() || request.batch().seq() != seq) {
      return Damaged(absl::StrCat("batch ", seq, " is not where it should be"));
    }
    const absl::Status valid = ValidateBatch(request.batch());
    if (!valid.ok()) {
      return Damaged(absl::StrCat("batch ", seq, ": ", valid.message()));
    }
    if (!pending_->WaitForRoom()) return Fate::kLeft;
    auto batch = std::make_shared<v1::Batch>();
    batch->Swap(request.mutable_batch());
    WriteJob job;
    job.bytes = batch->ByteSizeLong() + sizeof(WriteJob);
    job.apply = [batch, run = run_](Store& store) {
      return store.AppendBatch(run, *batch, absl::ToUnixNanos(absl::Now()));
    };
    job.done = [pending = pending_, bytes = job.bytes](const absl::Status& s) {
      pending->Done(bytes, s);
    };
    pending_->Add(job.bytes);
    const size_t bytes = job.bytes;
    if (writer_->Submit(std::move(job)) == Writer::Accepted::kRefused) {
      pending_->Done(bytes, absl::UnavailableError("the daemon is busy"));
      return Fate::kLeft;
    }
    ++result_.batches;
    return Fate::kTaken;
  }

  Fate AfterFailure(const absl::Status& status) {
    // A hole: a segment before this one is gone or damaged.
    if (absl::IsFailedPrecondition(status)) return Damaged(status.message());
    return Note(Fate::kLeft,
                absl::StrCat("not stored yet: ", status.message()));
  }

  void Dispose(Fate fate) {
    if (fate == Fate::kTaken) {
      if (unlinkat(dir_, segment_.c_str(), 0) != 0 && errno != ENOENT) {
        Note(fate, absl::StrCat("cannot delete it: ", strerror(errno)));
      }
      return;
    }
    ++result_.set_aside;
    if (renameat(dir_, segment_.c_str(), dir_,
                 absl::StrCat(segment_, ".corrupt").c_str()) != 0) {
      Note(fate, absl::StrCat("cannot set it aside: ", strerror(errno)));
      result_.left_over = true;
    }
  }

  const int dir_;
  const std::string run_id_;
  Writer* const writer_;
  const std::function<bool()>& stopping_;
  std::shared_ptr<PendingJobs> pending_ = std::make_shared<PendingJobs>();
  std::string segment_;
  int64_t run_ = 0;
  ReplayResult result_;
};

}  // namespace

bool PendingJobs::WaitForRoom() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return bytes_ < kBytesUnderWay || !failed_.ok(); });
  return failed_.ok();
}

void PendingJobs::Add(size_t bytes) {
  std::lock_guard lock(mutex_);
  bytes_ += bytes;
  ++jobs_;
}

void PendingJobs::Done(size_t bytes, const absl::Status& status) {
  std::lock_guard lock(mutex_);
  bytes_ -= bytes;
  --jobs_;
  if (failed_.ok()) failed_ = status;
  wake_.notify_all();
}

absl::Status PendingJobs::Wait() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return jobs_ == 0; });
  return failed_;
}

ReplayResult ReplaySpool(int dir, const std::string& run_id,
                         const std::vector<std::string>& segments,
                         Writer* writer,
                         const std::function<bool()>& stopping) {
  return Replay(dir, run_id, writer, stopping).Run(segments);
}

}  // namespace invact
