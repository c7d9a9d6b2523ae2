// One event as it lies in Batch.records and, unpacked, in event_blobs: 48
// bytes, little endian, in the order below; a writer of a later version may
// append bytes.
//
//   0 time_ns u64 | 8 address u64 | 16 bytes i64 | 24 stream u64 | 32 site u32
//   36 step u32 | 40 kind u8 | 41 source u8 | 42 device i8 | 43 action u8
//   44 thread u32
#ifndef INVACT_DAEMON_STORE_EVENT_RECORD_H_
#define INVACT_DAEMON_STORE_EVENT_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace invact {

inline constexpr size_t kMinRecordBytes = 48;
inline constexpr size_t kMaxRecordBytes = 256;

struct EventRecord {
  uint64_t time_ns;
  uint64_t address;
  int64_t bytes;
  uint64_t stream;
  uint32_t site;
  uint32_t step;
  uint8_t kind;
  uint8_t source;
  int8_t device;
  uint8_t action;
  uint32_t thread;
};
static_assert(sizeof(EventRecord) == kMinRecordBytes);

// data: at least kMinRecordBytes.
inline EventRecord ReadEventRecord(const char* data) {
  EventRecord record;
  std::memcpy(&record, data, sizeof(record));
  return record;
}

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_EVENT_RECORD_H_
