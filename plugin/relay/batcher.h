// Reads the shared memory and says what is new in it, in batches.
//
// Owned and used by the relay's one thread. What there is no room for stays
// in the rings, whose writers then drop the newest and count it; only at the
// end, when nobody writes any more, it is dropped and counted here.
#ifndef INVACT_PLUGIN_RELAY_BATCHER_H_
#define INVACT_PLUGIN_RELAY_BATCHER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "invact/v1/ingest.pb.h"
#include "plugin/relay/packer.h"
#include "plugin/ring/reader.h"

namespace invact {

// What may still be put into batches. Names, warnings, kernels and the last
// tables always may.
struct Room {
  bool events = true;
  bool steps = true;
  bool tables = true;
};

class Batcher {
 public:
  using AskRoom = std::function<Room()>;

  explicit Batcher(Reader* reader) : reader_(reader) {}

  // One look at the memory, while the job lives. `acked_ns`: when the daemon
  // last acknowledged something; the longer ago, the rarer tables become.
  void Look(int64_t now_ns, int64_t acked_ns, const AskRoom& room,
            const Packer::Sink& sink);
  // All that is left, and the end. The writer is gone.
  void Last(const v1::RunEnd& end, const AskRoom& room,
            const Packer::Sink& sink);
  // After Last, where batches turned out to be lost: all that the memory still
  // knows, and what was lost.
  void Amend(const Packer::Sink& sink);

  // Batches were lost: the next ones say again what the memory still knows.
  void SayAgain();
  // Events and step totals that are in no batch any more.
  void AddLost(uint64_t entries) { dropped_ += entries; }
  // For the report: what of the relay's own work went wrong.
  void Warn(std::string text);

 private:
  void Take(const Room& room);
  uint64_t Discard(const Room& room);
  bool AnythingNew(int64_t now_ns, const Room& room) const;
  void Pack(Packer* packer, bool tables, bool last);
  void PackMemoryRecords(Packer* packer);
  // Worth a batch: many, or for a while there was none.
  bool MemoryRecordsDue(int64_t now_ns) const;
  void PackNames(Packer* packer);
  void PackTables(Packer* packer, bool last);
  bool AnyKernelNew() const;
  v1::RunUpdate Update();
  // So far, events and step totals.
  uint64_t Dropped() const;
  Packer::Sink Sealed(const Packer::Sink& sink);

  Reader* const reader_;
  std::string records_;
  std::vector<StepTotalsPod> steps_;
  std::vector<DigestRecord> digests_;
  std::vector<MemoryRowPod> memory_rows_;
  std::string memory_records_;
  uint64_t memory_records_said_ = 0;  // and those that were lost
  uint64_t memory_records_lost_ = 0;  // behind memory_records_
  int64_t next_memory_ns_ = 0;
  uint64_t dropped_ = 0;
  uint64_t dropped_said_ = 0;
  int64_t next_batch_ns_ = 0;
  int64_t next_tables_ns_ = 0;
  bool tables_due_ = true;  // something happened since they were read
  size_t table_rows_ = 0;   // of those read last

  // What was said already.
  uint32_t scopes_said_ = 0;
  uint32_t parameters_said_ = 0;
  std::vector<uint32_t> site_stamps_;
  uint64_t last_stamp_ = 0;
  uint64_t max_stamp_ = 0;
  std::string device_said_;
  size_t warnings_said_ = 0;
  std::vector<std::string> own_warnings_;
  size_t own_warnings_said_ = 0;
  std::vector<uint64_t> kernel_stamps_;
  bool oom_said_ = false;
  int said_again_ = 0;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_BATCHER_H_
