#include "plugin/cupti/activity_buffer.h"

namespace invact::cupti {

namespace {

int64_t Bytes(uint64_t bytes) {
  constexpr uint64_t kMost = uint64_t{1} << 46;  // no machine has it
  return static_cast<int64_t>(bytes < kMost ? bytes : kMost);
}

void ReadPool(const MemoryPool& pool, Activity* activity) {
  activity->pool = true;
  activity->alive = pool.operation != kPoolDestroyed;
  activity->device = static_cast<int>(pool.device);
  activity->address = activity->pool_address = pool.address;
  activity->bytes = activity->pool_bytes =
      pool.pool_type == kLocalPool ? Bytes(pool.bytes) : 0;
  activity->time_ns = pool.time_ns;
}

}  // namespace

bool ReadActivity(const void* record, size_t bytes, Activity* activity) {
  *activity = {};
  if (KindOfRecord(record) == kKindMemoryPool) {
    if (bytes < sizeof(MemoryPool)) return false;
    MemoryPool pool;
    std::memcpy(&pool, record, sizeof(pool));
    ReadPool(pool, activity);
    return true;
  }
  if (bytes < sizeof(MemoryOperation)) return false;
  MemoryOperation operation;
  std::memcpy(&operation, record, sizeof(operation));
  activity->alive =
      operation.operation == static_cast<uint32_t>(Operation::kAllocation);
  activity->is_async = operation.is_async != 0;
  activity->kind = static_cast<MemoryKind>(operation.memory_kind);
  activity->device = static_cast<int>(operation.device);
  activity->address = operation.address;
  activity->bytes = Bytes(operation.bytes);
  activity->time_ns = operation.time_ns;
  if (activity->is_async && operation.pool_type == kLocalPool) {
    activity->pool_address = operation.pool_address;
    activity->pool_bytes = Bytes(operation.pool_bytes);
  }
  if (bytes >= kBytesWithSource) {
    std::memcpy(&activity->source, static_cast<const char*>(record) + kSourceAt,
                sizeof(activity->source));
  }
  return true;
}

size_t TakeMemoryOut(const Library& library, uint8_t* buffer, size_t valid,
                     uint64_t keep) {
  const auto goes = [&](uint32_t kind) {
    return IsMemory(kind) && (keep >> kind & 1) == 0;
  };
  // Two passes: the first looks, so that a buffer is whole or untouched, and
  // remembers no record; the second moves only what it has passed already.
  bool any = false;
  const bool sound =
      ForEachRecord(library, buffer, valid, [&](const uint8_t* record, size_t) {
        any = any || goes(KindOfRecord(record));
      });
  if (!any || !sound) return valid;
  uint8_t* to = buffer;
  ForEachRecord(library, buffer, valid, [&](uint8_t* record, size_t bytes) {
    if (goes(KindOfRecord(record))) return;
    if (to != record) std::memmove(to, record, bytes);
    to += bytes;
  });
  return static_cast<size_t>(to - buffer);
}

}  // namespace invact::cupti
