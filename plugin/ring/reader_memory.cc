// Reader: the accounts of device memory.
#include <algorithm>

#include "plugin/ring/reader.h"
#include "plugin/ring/take_rows.h"

namespace invact {

namespace {

// What the daemon takes for a byte count, a time and a step.
constexpr int64_t kMostBytes = int64_t{1} << 56;
constexpr int64_t kMostNs = int64_t{1} << 62;
constexpr int64_t kMostStep = int64_t{1} << 48;
constexpr int32_t kMostDevice = 127;

void Bound(int64_t* value, int64_t most) {
  *value = std::clamp<int64_t>(*value, 0, most);
}

void BoundOrUnknown(int64_t* value) {
  *value = *value < 0 ? kUnknown : std::min(*value, kMostBytes);
}

void Check(MemoryMomentPod* moment) {
  Bound(&moment->time_ns, kMostNs);
  for (int64_t& bytes : moment->bytes) Bound(&bytes, kMostBytes);
  Bound(&moment->awaiting, kMostBytes);
  Bound(&moment->reserved, kMostBytes);
  BoundOrUnknown(&moment->allocated);
  BoundOrUnknown(&moment->requested);
  BoundOrUnknown(&moment->torch_reserved);
}

MemoryRowPod Checked(MemoryRowPod row) {
  row.step = std::clamp<int64_t>(row.step, -1, kMostStep);
  row.device = std::clamp<int32_t>(row.device, 0, kMostDevice);
  row.complete = row.complete != 0;
  row.holders = std::min<uint8_t>(row.holders, kMemoryHolders);
  Bound(&row.begin_ns, kMostNs);
  for (MemoryMomentPod* moment :
       {&row.begin, &row.backward, &row.end, &row.peak}) {
    Check(moment);
  }
  for (int64_t* number : {&row.most_reserved, &row.allocations, &row.frees,
                          &row.out_of_memory, &row.asked, &row.device_free}) {
    Bound(number, kMostBytes);
  }
  for (MemoryHolderPod& holder : row.holder) Bound(&holder.bytes, kMostBytes);
  return row;
}

}  // namespace

size_t Reader::TakeMemoryRows(size_t max, std::vector<MemoryRowPod>* out) {
  MemoryRowRing& ring = shared_->memory_rows;
  return TakeRows(&ring, ring.row, &memory_row_read_, &resync_steps_, max, out,
                  [](const MemoryRowPod& row) { return Checked(row); });
}

}  // namespace invact
