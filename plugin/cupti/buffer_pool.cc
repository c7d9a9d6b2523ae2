#include "plugin/cupti/buffer_pool.h"

#include <sys/mman.h>

#include <bit>

namespace invact::cupti {

bool BufferPool::Open() noexcept {
  if (base_ != nullptr) return true;
  void* map = mmap(nullptr, (kBuffers + 1) * kBytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return false;
  base_ = static_cast<uint8_t*>(map);
  return true;
}

uint8_t* BufferPool::Take() noexcept {
  uint32_t taken = taken_.load();
  while (base_ != nullptr && taken != ~uint32_t{0}) {
    const auto index = static_cast<unsigned>(std::countr_one(taken));
    if (taken_.compare_exchange_weak(taken, taken | uint32_t{1} << index)) {
      return At(index);
    }
  }
  return nullptr;
}

void BufferPool::Give(uint8_t* buffer) noexcept {
  if (!Has(buffer) || IsScratch(buffer)) return;
  const auto index = static_cast<size_t>(buffer - base_) / kBytes;
  taken_.fetch_and(~(uint32_t{1} << index));
}

}  // namespace invact::cupti
