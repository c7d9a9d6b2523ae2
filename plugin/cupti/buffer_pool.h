// Buffers for CUPTI's records: a fixed number of them, in one mapping whose
// pages come as they are written. Nothing is allocated when one is asked for,
// and whether a buffer is one of these is told by its address.
//
// Owner: the channel, for the process's life. Threads: any, no lock.
#ifndef INVACT_PLUGIN_CUPTI_BUFFER_POOL_H_
#define INVACT_PLUGIN_CUPTI_BUFFER_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace invact::cupti {

class BufferPool {
 public:
  // A megabyte holds 8,000 records, more than a model's first step makes. Each
  // thread that allocates may hold one (CUPTI 13).
  static constexpr size_t kBytes = size_t{1} << 20;
  static constexpr unsigned kBuffers = 32;

  // False where the memory can't be mapped.
  bool Open() noexcept;
  // nullptr: all are out.
  uint8_t* Take() noexcept;
  // A buffer beyond those there are, the same for everybody: what is written
  // there is lost. For versions of CUPTI that crash where they get none.
  uint8_t* Scratch() noexcept { return At(kBuffers); }
  void Give(uint8_t* buffer) noexcept;

  bool Has(const uint8_t* buffer) const noexcept {
    return buffer >= base_ && buffer < base_ + (kBuffers + 1) * kBytes;
  }
  bool IsScratch(const uint8_t* buffer) const noexcept {
    return buffer == base_ + kBuffers * kBytes;
  }

 private:
  uint8_t* At(unsigned index) const { return base_ + index * kBytes; }

  uint8_t* base_ = nullptr;
  std::atomic<uint32_t> taken_{0};  // a bit each
};

}  // namespace invact::cupti

#endif  // INVACT_PLUGIN_CUPTI_BUFFER_POOL_H_
