// Takes in what dead relays left on disk (proto/spool_format.h): through the
// same gate and the same writer as a stream.
//
// A folder whose lock somebody holds belongs to a live relay and is left
// alone. From the others each batch is stored once, by (run, seq); a segment
// is deleted when all of it is committed. A torn segment counts up to its last
// whole frame. One that is damaged counts up to the damage and is kept as
// <segment>.corrupt. One of a newer format or protocol stays as it is. A run
// whose spool ends without its end becomes crashed, lost.
//
// Owned by main; Pass is for one thread at a time, the rest for any. What
// happened is in the log; nothing here fails for the caller.
#ifndef INVACT_DAEMON_INGEST_ADOPT_SPOOLS_H_
#define INVACT_DAEMON_INGEST_ADOPT_SPOOLS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "daemon/ingest/live_streams.h"
#include "daemon/ingest/writer.h"

namespace invact {

class SpoolAdopter {
 public:
  // writer and live must outlive it. `stopping` ends a Pass early.
  SpoolAdopter(std::vector<std::string> folders, Writer* writer,
               const LiveStreams* live, std::function<bool()> stopping);

  // Looks at every spool once; after the deadline begins no other.
  void Pass(absl::Time deadline);

  // A relay on this machine lives: it holds the lock of the run's spool.
  bool HeldByRelay(const std::string& run_id) const;

  int64_t adopted() const { return adopted_; }  // spools since the start

 private:
  void Adopt(int parent, const std::string& folder, const std::string& run_id);
  // Says it once, not at every pass.
  void Tell(const std::string& what);

  const std::vector<std::string> folders_;
  Writer* const writer_;
  const LiveStreams* const live_;
  const std::function<bool()> stopping_;
  std::atomic<int64_t> adopted_{0};
  std::set<std::string> told_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_INGEST_ADOPT_SPOOLS_H_
