// What is alive of the memory that CUPTI tells of, by address: device, pinned
// and managed, and the pools of cudaMallocAsync.
//
// Records come in any order (each thread has its own buffer), so of two about
// one address the later one counts, by their own times; where the times are of
// two clocks (torch's profiler gives CUPTI another one), the one that came
// later. Gone addresses are remembered for a while: the record of how they were
// made may still be under way.
//
// Owner: the channel. Threads: externally locked. Memory: at most kMost entries
// of 48 bytes; what is beyond is counted by bytes alone. May throw
// std::bad_alloc; calls nothing foreign.
#ifndef INVACT_PLUGIN_CUPTI_LIVE_MEMORY_H_
#define INVACT_PLUGIN_CUPTI_LIVE_MEMORY_H_

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/cupti/activity_buffer.h"
#include "plugin/pointer_map.h"

namespace invact::cupti {

inline constexpr int kMostDevices = 64;
inline constexpr uint16_t kNoLibrary = 0;
inline constexpr size_t kMostLibraries = 64;

struct LiveBytes {
  int64_t device = 0;    // by address, pools left out
  int64_t pinned = 0;    // of the host, by the device that asked
  int64_t managed = 0;   // wherever it is now
  int64_t pools = 0;     // size of the pools of cudaMallocAsync
  int64_t in_pools = 0;  // of them cut out
};

struct LiveAllocation {
  uint64_t address;
  int64_t bytes;
  uint16_t library;
};

class LiveMemory {
 public:
  static constexpr size_t kMost = size_t{1} << 18;
  static constexpr size_t kRemembered = 8192;  // gone addresses

  explicit LiveMemory(size_t most = kMost) : most_(most) {}

  // False where nothing changed: an older record, or a kind not followed.
  bool Enter(const Activity& activity, uint16_t library);

  // Number of a library by its path: 1 and up; 0 for none, and for those
  // beyond the table. Base names are kept.
  uint16_t Library(const char* path);
  const std::vector<std::string>& libraries() const { return libraries_; }

  LiveBytes Of(int device) const {
    return InRange(device) ? bytes_[static_cast<size_t>(device)] : LiveBytes{};
  }
  // Device memory of the device, by address, unsorted; pools left out.
  std::vector<LiveAllocation> DeviceAllocations(int device) const;
  // Changes whenever anything else does.
  uint64_t generation() const { return generation_; }
  int64_t beyond() const { return beyond_; }  // counted by bytes alone
  // Nothing that is known holds any more (records were missed).
  void MarkUncertain() { uncertain_ = true; }
  bool uncertain() const { return uncertain_; }

 private:
  struct Entry {
    int64_t bytes = 0;
    uint64_t time_ns = 0;
    uint64_t pool = 0;
    uint16_t library = kNoLibrary;
    MemoryKind kind = MemoryKind::kDevice;
    int8_t device = 0;
    bool alive = false;
    bool is_async = false;
    bool is_pool = false;
  };

  static bool InRange(int device) {
    return device >= 0 && device < kMostDevices;
  }
  void Count(const Entry& entry, int64_t sign);
  bool EnterPool(const Activity& activity);
  void Remember(const void* gone);

  const size_t most_;
  PointerMap<Entry> entries_, pools_;
  std::array<LiveBytes, kMostDevices> bytes_ = {};
  std::vector<std::string> libraries_;
  std::array<const void*, kRemembered> gone_ = {};
  size_t next_gone_ = 0;
  uint64_t generation_ = 0;
  int64_t beyond_ = 0;
  bool uncertain_ = false;
};

}  // namespace invact::cupti

#endif  // INVACT_PLUGIN_CUPTI_LIVE_MEMORY_H_
