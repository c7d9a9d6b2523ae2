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

MemoryRecord Checked(MemoryRecord record) {
  const bool gap = record.kind == static_cast<uint8_t>(EventKind::kGap);
  record.time_ns = std::min<uint64_t>(record.time_ns, kMostNs - 1);
  record.bytes = std::clamp(record.bytes, gap ? 0 : -kMostBytes, kMostBytes);
  for (uint32_t* place : {&record.scope, &record.site}) {
    if (*place >= kMostMemoryPlaces) *place = kNoMemoryPlace;
  }
  if (record.category != kReservedBytes &&
      record.category >= kMostMemoryCategories) {
    record.category = 0;
  }
  record.device =
      std::max<int8_t>(record.device, gap ? kEveryDevice : int8_t{0});
  record.more = record.more != 0;
  return record;
}

}  // namespace

size_t Reader::TakeMemoryRecords(size_t max, std::string* out) {
  MemoryRecordRing& ring = shared_->memory_records;
  uint64_t& read = memory_record_read_;
  const uint64_t written = ring.written.load(std::memory_order_acquire);
  if (written - read > kMemoryRecordSlots) {  // no writer of ours does that
    resync_dropped_ += kMemoryRecordSlots;
    read = written;
  }
  size_t count = std::min<uint64_t>(written - read, max);
  if (count > 1 && count < written - read &&
      ring.record[(read + count - 1) % kMemoryRecordSlots].more != 0) {
    --count;
  }
  for (size_t i = 0; i < count; ++i) {
    const MemoryRecord record =
        Checked(ring.record[(read + i) % kMemoryRecordSlots]);
    out->append(reinterpret_cast<const char*>(&record), sizeof(record));
  }
  read += count;
  ring.read.store(read, std::memory_order_release);
  return count;
}

size_t Reader::TakeMemoryRows(size_t max, std::vector<MemoryRowPod>* out) {
  MemoryRowRing& ring = shared_->memory_rows;
  return TakeRows(&ring, ring.row, &memory_row_read_, &resync_steps_, max, out,
                  [](const MemoryRowPod& row) { return Checked(row); });
}

}  // namespace invact
