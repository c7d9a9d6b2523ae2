// Reads one segment of a spool, frame by frame, without trusting a byte of it.
//
// One thread. Holds at most one frame and a read-ahead in memory.
#ifndef INVACT_PLUGIN_RELAY_SEGMENT_READER_H_
#define INVACT_PLUGIN_RELAY_SEGMENT_READER_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "proto/spool_format.h"

namespace invact {

class SegmentReader {
 public:
  SegmentReader() = default;
  ~SegmentReader();
  SegmentReader(const SegmentReader&) = delete;
  SegmentReader& operator=(const SegmentReader&) = delete;

  // kTorn also where the file can't be opened; kCorrupt where it is of another
  // run.
  SpoolStatus Open(int run_dir, const std::string& name,
                   std::string_view run_id);
  // The next frame; it points into the reader and holds until the next call.
  // After kEnd and kTorn more may come, where somebody appends to the file.
  SpoolStatus Next(Frame* frame);

 private:
  // False where the file has no more.
  bool Fill();

  int file_ = -1;
  std::string buffer_;
  size_t at_ = 0;  // of the first byte that was not given out
};

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_SEGMENT_READER_H_
