// What is used of CUPTI's Activity API, in declarations of our own: the plugin
// is built where no CUPTI is, and meets whichever copy torch has brought.
//
// Two records are read, each by the fields that all its versions share, at
// offsets that no version has moved:
//
//   memory operation (kind 49)           memory pool (kind 50)
//   0   kind                             0   kind
//   4   1 allocation, 2 release          4   1 created, 2 destroyed, 3 trimmed
//   8   kind of memory                   8   1 local, 2 imported
//   16  address    24 bytes              20  device
//   32  time       52 device             32  address    40 bytes
//   72  1: async   80 pool's type        56  time
//   88  pool's address  104 its bytes
//   120 library (path), 4th version only
//
// A record's version is told by its length: 112, 120 or 128 bytes of a memory
// operation since CUPTI 15 (CUDA 11.2). A CUPTI of a CUDA that came after this
// was written (14) is not trusted to have kept them.
#ifndef INVACT_PLUGIN_CUPTI_CUPTI_ABI_H_
#define INVACT_PLUGIN_CUPTI_CUPTI_ABI_H_

#include <cstddef>
#include <cstdint>

namespace invact::cupti {

using Result = int;
inline constexpr Result kSuccess = 0;
inline constexpr uint32_t kFlushForced = 1;
inline constexpr uint32_t kKindMemory = 49;
inline constexpr uint32_t kKindMemoryPool = 50;

// cuptiGetVersion. Three digits and less before CUDA 13, then xxyyzz.
inline constexpr uint32_t kOldestVersion = 15;      // CUDA 11.2
inline constexpr uint32_t kNewestVersion = 139999;  // CUDA 13.99
inline constexpr uint32_t kMayDeclineVersion = 27;  // CUDA 12.9

using RequestBuffer = void (*)(uint8_t** buffer, size_t* bytes, size_t* most);
using CompleteBuffer = void (*)(void* context, uint32_t stream, uint8_t* buffer,
                                size_t bytes, size_t valid);

enum class Operation : uint32_t { kAllocation = 1, kRelease = 2 };
enum class MemoryKind : uint32_t {
  kPageable = 1,
  kPinned = 2,
  kDevice = 3,
  kArray = 4,
  kManaged = 5,
  kDeviceStatic = 6,
  kManagedStatic = 7,
};

struct MemoryOperation {
  uint32_t kind;
  uint32_t operation;
  uint32_t memory_kind;
  uint32_t correlation;
  uint64_t address;
  uint64_t bytes;
  uint64_t time_ns;
  uint64_t program_counter;
  uint32_t process, device, context, stream;
  const char* name;
  uint32_t is_async;
  uint32_t pad1;
  uint32_t pool_type;
  uint32_t pad2;
  uint64_t pool_address;
  uint64_t pool_threshold;
  uint64_t pool_bytes;  // of a local pool
};
inline constexpr size_t kSourceAt = 120;
inline constexpr size_t kBytesWithSource = 128;

struct MemoryPool {
  uint32_t kind;
  uint32_t operation;
  uint32_t pool_type;
  uint32_t correlation;
  uint32_t process, device;
  uint64_t least_bytes;
  uint64_t address;
  uint64_t bytes;
  uint64_t threshold;
  uint64_t time_ns;
};
inline constexpr uint32_t kLocalPool = 1;
inline constexpr uint32_t kPoolDestroyed = 2;

static_assert(sizeof(void*) == 8);
static_assert(sizeof(MemoryOperation) == 112);
static_assert(offsetof(MemoryOperation, address) == 16);
static_assert(offsetof(MemoryOperation, device) == 52);
static_assert(offsetof(MemoryOperation, is_async) == 72);
static_assert(offsetof(MemoryOperation, pool_address) == 88);
static_assert(offsetof(MemoryOperation, pool_bytes) == 104);
static_assert(sizeof(MemoryPool) == 64);
static_assert(offsetof(MemoryPool, device) == 20);
static_assert(offsetof(MemoryPool, address) == 32);
static_assert(offsetof(MemoryPool, time_ns) == 56);

}  // namespace invact::cupti

#endif  // INVACT_PLUGIN_CUPTI_CUPTI_ABI_H_
