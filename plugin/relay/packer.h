// Cuts what there is to say into batches within the daemon's limits.
//
// Lives on the stack for one round of the relay's thread. Each batch that is
// full goes to `sink`, which gives it its number.
#ifndef INVACT_PLUGIN_RELAY_PACKER_H_
#define INVACT_PLUGIN_RELAY_PACKER_H_

#include <cstddef>
#include <functional>
#include <string>

#include "invact/v1/ingest.pb.h"
#include "plugin/ring/ring_layout.h"

namespace invact {

// The daemon takes 1 MiB; what a batch always has (times, losses) comes on
// top of these.
inline constexpr size_t kBatchBytes = (1 << 20) - 2048;
inline constexpr size_t kBatchRecords = 16384;

class Packer {
 public:
  using Sink = std::function<void(v1::Batch*)>;
  explicit Packer(Sink sink) : sink_(std::move(sink)) {}

  void Add(v1::Scope scope);
  void Add(v1::Site site);
  void Add(v1::StepTotals step);
  // At most kBatchRecords whole records.
  void AddRecords(std::string records);
  // At most kMostMemoryRecords whole ones; `before`: how many there were.
  void AddMemoryRecords(std::string records, uint64_t before);
  enum class Table { kLast, kMax, kLive };
  void Add(Table which, v1::SiteTable table);
  void Add(v1::Parameter parameter);
  void Add(v1::StepDigests digests);
  void Add(const MemoryRowPod& row);
  void Add(v1::RunUpdate update);
  void Add(const v1::OutOfMemory& oom);
  void Add(const v1::RunEnd& end);
  // The batch that is not full yet, if there is anything in it or `always`.
  void Finish(bool always);

 private:
  // The batch that has room for a member of `bytes`.
  v1::Batch* Fit(size_t bytes);

  Sink sink_;
  v1::Batch batch_;
  size_t bytes_ = 0;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_PACKER_H_
