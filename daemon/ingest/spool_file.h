// One segment of a spool, read frame by frame through one bounded buffer.
//
// Owned and used by one thread. The file may be anything: proto/spool_format.h
// says what counts, nothing is allocated for a length that it merely claims.
#ifndef INVACT_DAEMON_INGEST_SPOOL_FILE_H_
#define INVACT_DAEMON_INGEST_SPOOL_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/spool_format.h"

namespace invact {

class SpoolFile {
 public:
  // A regular file of this user in the folder `dir`, no link.
  static absl::StatusOr<SpoolFile> Open(int dir, const std::string& name);
  SpoolFile(SpoolFile&& other) noexcept;
  SpoolFile& operator=(SpoolFile&&) = delete;
  ~SpoolFile();

  // First of all. `out` and later frames point into this object and stay
  // until the next call.
  SpoolStatus Header(SegmentHeader* out);
  SpoolStatus Next(Frame* out);

  // Not ok: the disk failed, and what looked like the end was none.
  const absl::Status& error() const { return error_; }

 private:
  explicit SpoolFile(int fd) : fd_(fd) {}
  // False at the end of the file.
  bool ReadMore();
  std::string_view rest() const {
    return std::string_view(buffer_).substr(at_);
  }

  int fd_;
  std::string buffer_;
  size_t at_ = 0;
  absl::Status error_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_INGEST_SPOOL_FILE_H_
