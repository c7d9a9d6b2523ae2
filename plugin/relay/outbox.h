// Batches between their making and their acknowledgement: numbered, encoded,
// on disk where the disk takes them, and the newest of them in memory.
//
// Owned and used by the relay's one thread. Bounded by OutboxLimits; Room says
// what may still be made. A batch that can't be read back is replaced by an
// empty one, because the daemon takes no holes; what was in it is counted.
#ifndef INVACT_PLUGIN_RELAY_OUTBOX_H_
#define INVACT_PLUGIN_RELAY_OUTBOX_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "invact/v1/ingest.pb.h"
#include "plugin/relay/batcher.h"
#include "plugin/relay/log.h"
#include "plugin/relay/spool.h"

namespace invact {

struct OutboxLimits {
  int64_t disk_bytes = 256 << 20;
  // Of batches that are on no disk.
  int64_t memory_bytes = 4 << 20;
};

class Outbox {
 public:
  // Both must outlive it. The spool may be one that could not be opened.
  Outbox(Spool* spool, RelayLog* log, OutboxLimits limits = {})
      : spool_(spool), log_(log), limits_(limits) {}

  Room room() const;
  // Gives the batch its number.
  void Add(v1::Batch* batch);
  // Writes to disk what the disk refused before, once in a while.
  void TryDisk(int64_t now_ns);

  uint64_t last() const { return last_; }
  uint64_t acknowledged() const { return acknowledged_; }
  bool all_acknowledged() const { return acknowledged_ == last_; }
  // A relay that leaves now leaves everything to a later daemon.
  bool all_spooled() const {
    return all_acknowledged() || (spool_->is_open() && unspooled_ == 0);
  }

  // The message of batch `seq`, acknowledged() < seq <= last(). Never empty.
  std::shared_ptr<const std::string> Message(uint64_t seq);
  // Also backwards: a daemon that lost its database begins anew.
  void Acknowledge(uint64_t seq);
  // The daemon refuses this one for what is in it: send an empty one instead.
  void Replace(uint64_t seq);

  // True once after batches were replaced: say again what was in them.
  // `*entries`: events and step totals that were lost with them since the call
  // before.
  bool TakeLosses(uint64_t* entries);

 private:
  struct Held {
    uint64_t seq;
    uint32_t entries;
    std::shared_ptr<const std::string> message;
  };
  bool ToDisk(const Held& held);
  void Forget();
  std::shared_ptr<const std::string> Empty(uint64_t seq);

  Spool* const spool_;
  RelayLog* const log_;
  const OutboxLimits limits_;
  uint64_t last_ = 0;
  uint64_t acknowledged_ = 0;
  // The newest batches, without holes; the last `unspooled_` of them are on no
  // disk.
  std::deque<Held> held_;
  size_t unspooled_ = 0;
  int64_t held_bytes_ = 0;
  int64_t unspooled_bytes_ = 0;
  int64_t next_try_ns_ = 0;
  uint64_t replaced_ = 0;  // the newest batch that was refused for its content
  bool lost_any_ = false;
  uint64_t lost_entries_ = 0;  // besides those that the spool counts
  uint64_t lost_said_ = 0;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_OUTBOX_H_
