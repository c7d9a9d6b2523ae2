// Reading and thinning a buffer that CUPTI has filled. Nothing here keeps
// anything; the buffer is the caller's. Threads: any.
#ifndef INVACT_PLUGIN_CUPTI_ACTIVITY_BUFFER_H_
#define INVACT_PLUGIN_CUPTI_ACTIVITY_BUFFER_H_

#include <cstring>

#include "plugin/cupti/cupti_library.h"

namespace invact::cupti {

// A record of memory, whatever its version.
struct Activity {
  bool pool = false;      // else an allocation or a release
  bool alive = false;     // it was made (pool: still there); else it is gone
  bool is_async = false;  // cut out of a pool
  MemoryKind kind = MemoryKind::kDevice;
  int device = -1;
  uint64_t address = 0;
  int64_t bytes = 0;
  uint64_t time_ns = 0;       // CLOCK_REALTIME, or whatever clock Kineto gave
  uint64_t pool_address = 0;  // of a local pool, 0: none
  int64_t pool_bytes = 0;
  const char* source = nullptr;  // path, of CUPTI's memory: copy it now
};

inline uint32_t KindOfRecord(const void* record) {
  uint32_t kind;
  std::memcpy(&kind, record, sizeof(kind));
  return kind;
}
inline bool IsMemory(uint32_t kind) {
  return kind == kKindMemory || kind == kKindMemoryPool;
}

// False where the record is shorter than any version of its kind.
bool ReadActivity(const void* record, size_t bytes, Activity* activity);

// f(record, bytes) for each. False where CUPTI's records do not stand one
// behind the other from the buffer's begin on: then lengths are not known, and
// those called for were told 0.
template <typename F>
bool ForEachRecord(const Library& library, uint8_t* buffer, size_t valid, F f) {
  void* record = nullptr;
  uint8_t* last = nullptr;
  bool sound = true;
  while (library.next_record(buffer, valid, &record) == kSuccess) {
    auto* here = static_cast<uint8_t*>(record);
    if (last == nullptr ? here != buffer : here <= last) sound = false;
    if (last != nullptr) {
      f(last, sound ? static_cast<size_t>(here - last) : 0);
    }
    last = here;
  }
  if (last != nullptr) {
    f(last, sound ? static_cast<size_t>(buffer + valid - last) : 0);
  }
  return sound;
}

// Takes records of memory out, except of the kinds of `keep` (a bit each, 1 <<
// kind): another client's reader warns of kinds that it did not ask for. The
// bytes left; `valid` where the buffer can't be thinned.
size_t TakeMemoryOut(const Library& library, uint8_t* buffer, size_t valid,
                     uint64_t keep);

}  // namespace invact::cupti

#endif  // INVACT_PLUGIN_CUPTI_ACTIVITY_BUFFER_H_
