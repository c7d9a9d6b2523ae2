// The run's folder on disk: batches are appended before they are sent, and
// segments are deleted when all of their batches were acknowledged. The format
// is proto/spool_format.h.
//
// Owned and used by the relay's one thread. Nothing here blocks for longer
// than a write into the page cache; a write that fails leaves the file as it
// was.
#ifndef INVACT_PLUGIN_RELAY_SPOOL_H_
#define INVACT_PLUGIN_RELAY_SPOOL_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "invact/v1/ingest.pb.h"
#include "plugin/relay/segment_reader.h"

namespace invact {

// Events and step totals: what is missed where a batch gets lost. All else the
// shared memory still knows.
uint32_t CountEntries(const v1::Batch& batch);

class Spool {
 public:
  // hello: the encoded first message, which each segment repeats.
  Spool(std::string run_id, std::string hello);
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // Takes the first of the folders that can be used, makes the run's own in
  // it, locks that, and begins the first segment. False where none can;
  // `problems` says why, folder by folder.
  bool Open(const std::vector<std::string>& folders,
            std::vector<std::string>* problems);
  bool is_open() const { return run_dir_ >= 0; }
  int run_dir() const { return run_dir_; }
  const std::string& folder() const { return folder_; }

  // `entries`: CountEntries of it, should the frame get lost. False
  // with errno where the disk refuses. Sequence numbers must follow each other
  // within a segment; `seq` of another one begins a segment.
  bool Append(uint64_t seq, std::string_view payload, uint32_t entries);

  // The payload of a batch, quickest in the order of numbers. False where it
  // is not there, or damaged: then all that follows in its segment is, too.
  bool Read(uint64_t seq, std::string* payload);
  // In batches that Read had to give up, so far.
  uint64_t lost_entries() const { return lost_entries_; }

  // Deletes what is no longer needed.
  void Acknowledged(uint64_t seq);
  // Deletes all of it.
  void Remove();

  int64_t bytes() const { return bytes_; }

 private:
  struct Segment {
    uint64_t first = 0, last = 0;  // last < first: no batch yet
    int64_t bytes = 0;
    uint64_t entries = 0;
    bool damaged = false;
  };
  bool OpenIn(const std::string& folder, std::string* problem);
  bool Lock(std::string* problem);
  bool BeginSegment(uint64_t first);
  bool WriteWhole(std::string_view bytes);
  void Delete(const Segment& segment);
  void GiveUp(Segment* segment);

  const std::string run_id_;
  const std::string hello_;
  std::string folder_;
  int spool_dir_ = -1;
  int run_dir_ = -1;
  int lock_ = -1;
  int file_ = -1;  // of segments_.back(), while it is written
  std::deque<Segment> segments_;
  int64_t bytes_ = 0;
  std::string frame_;  // kept to be used again

  std::unique_ptr<SegmentReader> reader_;
  uint64_t reader_segment_ = 0;  // the segment's first, while there is a reader
  uint64_t reader_next_ = 0;     // the batch that comes next in it
  uint64_t lost_entries_ = 0;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_SPOOL_H_
