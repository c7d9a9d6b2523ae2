#include "plugin/relay/segment_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace invact {

namespace {

constexpr size_t kReadAhead = 256 << 10;

}  // namespace

SegmentReader::~SegmentReader() {
  if (file_ >= 0) close(file_);
}

SpoolStatus SegmentReader::Open(int run_dir, const std::string& name,
                                std::string_view run_id) {
  if (file_ >= 0) close(file_);
  buffer_.clear();
  at_ = 0;
  file_ = openat(run_dir, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (file_ < 0) return SpoolStatus::kTorn;
  while (buffer_.size() < kSpoolHeaderBytes && Fill()) {
  }
  SegmentHeader header;
  const SpoolStatus status = ParseSegmentHeader(buffer_, &header);
  if (status != SpoolStatus::kOk) return status;
  at_ = kSpoolHeaderBytes;
  return header.run_id == run_id ? SpoolStatus::kOk : SpoolStatus::kCorrupt;
}

SpoolStatus SegmentReader::Next(Frame* frame) {
  while (true) {
    const SpoolStatus status =
        ParseFrame(std::string_view(buffer_).substr(at_), frame);
    if (status == SpoolStatus::kOk) at_ += frame->bytes;
    if (status != SpoolStatus::kTorn && status != SpoolStatus::kEnd) {
      return status;
    }
    if (!Fill()) return status;
  }
}

bool SegmentReader::Fill() {
  if (file_ < 0) return false;
  buffer_.erase(0, at_);
  at_ = 0;
  const size_t had = buffer_.size();
  buffer_.resize(had + kReadAhead);
  ssize_t got;
  do {
    got = read(file_, buffer_.data() + had, kReadAhead);
  } while (got < 0 && errno == EINTR);
  buffer_.resize(had + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return got > 0;
}

}  // namespace invact
