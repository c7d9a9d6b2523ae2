#include "plugin/relay/spool.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "invact/v1/ingest.pb.h"
#include "plugin/relay/private_dir.h"

namespace invact {

namespace {

constexpr int64_t kSegmentBytes = 4 << 20;
// An acknowledged segment that is still written is let go at this size.
constexpr int64_t kSmallSegment = 256 << 10;
constexpr int kLockTries = 50;
constexpr useconds_t kLockPauseUs = 2000;

uint64_t EntriesIn(std::string_view payload) {
  v1::StreamRequest request;
  return request.ParseFromArray(payload.data(),
                                static_cast<int>(payload.size()))
             ? CountEntries(request.batch())
             : 0;
}

}  // namespace

uint32_t CountEntries(const v1::Batch& batch) {
  auto steps =
      static_cast<uint32_t>(batch.steps_size() + batch.memory_steps_size());
  if (batch.memory_record_bytes() != 0) {
    steps += static_cast<uint32_t>(batch.memory_records().size() /
                                   batch.memory_record_bytes());
  }
  if (batch.record_bytes() == 0) return steps;
  return steps +
         static_cast<uint32_t>(batch.records().size() / batch.record_bytes());
}

Spool::Spool(std::string run_id, std::string hello)
    : run_id_(std::move(run_id)), hello_(std::move(hello)) {}

Spool::~Spool() {
  for (int fd : {file_, lock_, run_dir_, spool_dir_}) {
    if (fd >= 0) close(fd);
  }
}

bool Spool::Open(const std::vector<std::string>& folders,
                 std::vector<std::string>* problems) {
  for (const std::string& folder : folders) {
    std::string problem;
    if (OpenIn(folder, &problem)) {
      folder_ = folder;
      return true;
    }
    problems->push_back(problem);
    for (int* fd : {&file_, &lock_, &run_dir_, &spool_dir_}) {
      if (*fd >= 0) close(*fd);
      *fd = -1;
    }
    segments_.clear();
    bytes_ = 0;
  }
  return false;
}

bool Spool::OpenIn(const std::string& folder, std::string* problem) {
  spool_dir_ = OpenPrivateDir(folder, problem);
  if (spool_dir_ < 0) return false;
  run_dir_ = OpenPrivateDirAt(spool_dir_, run_id_, problem);
  if (run_dir_ < 0) return false;
  if (!Lock(problem)) return false;
  if (BeginSegment(1)) return true;
  *problem = folder + " takes no files (" + std::strerror(errno) + ")";
  unlinkat(run_dir_, std::string(kSpoolLockName).c_str(), 0);
  unlinkat(spool_dir_, run_id_.c_str(), AT_REMOVEDIR);
  return false;
}

// A daemon that looks for orphans may hold the lock for a moment, and may
// take a folder without segments away.
bool Spool::Lock(std::string* problem) {
  const std::string name(kSpoolLockName);
  for (int attempt = 0; attempt < kLockTries; ++attempt) {
    lock_ = openat(run_dir_, name.c_str(),
                   O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lock_ < 0 && errno == ENOENT) {  // the folder was removed
      close(run_dir_);
      run_dir_ = OpenPrivateDirAt(spool_dir_, run_id_, problem);
      if (run_dir_ < 0) return false;
      continue;
    }
    if (lock_ < 0) break;
    struct stat info;
    if (flock(lock_, LOCK_EX | LOCK_NB) == 0 && fstat(lock_, &info) == 0 &&
        info.st_nlink > 0) {
      return true;
    }
    close(std::exchange(lock_, -1));
    usleep(kLockPauseUs);
  }
  *problem = "the run's folder can't be locked (" +
             std::string(std::strerror(errno)) + ")";
  return false;
}

bool Spool::BeginSegment(uint64_t first) {
  if (file_ >= 0) close(std::exchange(file_, -1));
  if (!segments_.empty() && segments_.back().last < segments_.back().first) {
    Delete(segments_.back());
    segments_.pop_back();
  }
  const std::string name = SegmentName(first);
  file_ = openat(run_dir_, name.c_str(),
                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file_ < 0) return false;
  frame_ = EncodeSegmentHeader(run_id_);
  AppendFrame(0, hello_, &frame_);
  Segment segment;
  segment.first = first;
  segment.last = first - 1;
  segments_.push_back(segment);
  if (WriteWhole(frame_)) return true;
  const int error = errno;
  close(std::exchange(file_, -1));
  unlinkat(run_dir_, name.c_str(), 0);
  segments_.pop_back();
  errno = error;
  return false;
}

bool Spool::WriteWhole(std::string_view bytes) {
  Segment& segment = segments_.back();
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = write(file_, bytes.data() + done, bytes.size() - done);
    if (got > 0) {
      done += static_cast<size_t>(got);
    } else if (errno != EINTR) {
      break;
    }
  }
  if (done == bytes.size()) {
    segment.bytes += static_cast<int64_t>(done);
    bytes_ += static_cast<int64_t>(done);
    return true;
  }
  const int error = errno;
  // Where even this fails, the file ends in a torn frame, which every reader
  // tolerates; what follows goes into a file of its own.
  if (ftruncate(file_, segment.bytes) != 0 ||
      lseek(file_, segment.bytes, SEEK_SET) < 0) {
    close(std::exchange(file_, -1));
  }
  errno = error;
  return false;
}

bool Spool::Append(uint64_t seq, std::string_view payload, uint32_t entries) {
  if (run_dir_ < 0) {
    errno = ENOENT;
    return false;
  }
  const auto bytes = static_cast<int64_t>(kFrameHeaderBytes + payload.size());
  const bool fits = file_ >= 0 && !segments_.empty() &&
                    segments_.back().last + 1 == seq &&
                    (segments_.back().last < segments_.back().first ||
                     segments_.back().bytes + bytes <= kSegmentBytes);
  if (!fits && !BeginSegment(seq)) return false;
  frame_.clear();
  AppendFrame(seq, payload, &frame_);
  if (!WriteWhole(frame_)) {
    // The job's limit on file sizes: another file has room.
    const Segment& full = segments_.back();
    if (errno != EFBIG || full.last < full.first || !BeginSegment(seq)) {
      return false;
    }
    frame_.clear();
    AppendFrame(seq, payload, &frame_);
    if (!WriteWhole(frame_)) return false;
  }
  segments_.back().last = seq;
  segments_.back().entries += entries;
  return true;
}

bool Spool::Read(uint64_t seq, std::string* payload) {
  const auto segment = std::find_if(
      segments_.begin(), segments_.end(),
      [&](const Segment& s) { return seq >= s.first && seq <= s.last; });
  if (segment == segments_.end() || segment->damaged) return false;
  if (reader_ == nullptr || reader_segment_ != segment->first ||
      reader_next_ > seq) {
    reader_ = std::make_unique<SegmentReader>();
    reader_segment_ = reader_next_ = segment->first;
    if (reader_->Open(run_dir_, SegmentName(segment->first), run_id_) !=
        SpoolStatus::kOk) {
      GiveUp(&*segment);
      return false;
    }
  }
  Frame frame;
  while (reader_->Next(&frame) == SpoolStatus::kOk) {
    if (frame.seq == 0) continue;
    if (frame.seq != reader_next_) break;
    ++reader_next_;
    if (frame.seq != seq) continue;
    payload->assign(frame.payload);
    return true;
  }
  GiveUp(&*segment);
  return false;
}

// Counts what the segment can't give back.
void Spool::GiveUp(Segment* segment) {
  segment->damaged = true;
  uint64_t good = 0;
  SegmentReader reader;
  if (reader.Open(run_dir_, SegmentName(segment->first), run_id_) ==
      SpoolStatus::kOk) {
    Frame frame;
    while (reader.Next(&frame) == SpoolStatus::kOk) {
      if (frame.seq != 0) good += EntriesIn(frame.payload);
    }
  }
  if (segment->entries > good) lost_entries_ += segment->entries - good;
  reader_.reset();
  // What is written from now on must not stand behind the damage.
  if (segment == &segments_.back() && file_ >= 0) {
    close(std::exchange(file_, -1));
  }
}

void Spool::Acknowledged(uint64_t seq) {
  while (!segments_.empty()) {
    const Segment& front = segments_.front();
    const bool empty = front.last < front.first;
    const bool written = segments_.size() == 1 && file_ >= 0;
    if (!empty && front.last > seq) return;
    if (written && (empty || front.bytes < kSmallSegment)) return;
    // There is always a segment, if only with the hello: whoever finds it
    // without a relay knows at once that the run was left alone.
    if (written) BeginSegment(front.last + 1);
    Delete(front);
    segments_.pop_front();
  }
}

void Spool::Delete(const Segment& segment) {
  unlinkat(run_dir_, SegmentName(segment.first).c_str(), 0);
  bytes_ -= segment.bytes;
  if (reader_segment_ == segment.first) reader_.reset();
}

void Spool::Remove() {
  if (run_dir_ < 0) return;
  for (const Segment& segment : segments_) Delete(segment);
  segments_.clear();
  unlinkat(run_dir_, std::string(kSpoolLogName).c_str(), 0);
  unlinkat(run_dir_, std::string(kSpoolLockName).c_str(), 0);
  unlinkat(spool_dir_, run_id_.c_str(), AT_REMOVEDIR);
}

}  // namespace invact
