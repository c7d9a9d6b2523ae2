// The branch bits into y and out of it: one pass, eight elements and one byte a
// thread.
#include <cuda_runtime.h>

#include "kernels/cuda/bits_of_y.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/kernel_api.h"

namespace invact::kernels {
namespace {

constexpr int kBitThreads = 128;

template <class T>
__global__ void __launch_bounds__(kBitThreads)
    PutKernel(T* y, const uint8_t* side, int64_t n, bool aligned) {
  const Group group = ThisGroup<1>(n, 0);
  if (group.count <= 0) return;
  Eight<T> held;
  held.Load(y + group.first, group.count, aligned);
  PutBits(side[group.first / 8], &held);
  held.Store(y + group.first, group.count, aligned);
}

// What is left of a last byte is 0, as Load leaves it.
template <class T>
__global__ void __launch_bounds__(kBitThreads)
    TakeKernel(const T* y, uint8_t* side, int64_t n, bool aligned) {
  const Group group = ThisGroup<1>(n, 0);
  if (group.count <= 0) return;
  Eight<T> held;
  held.Load(y + group.first, group.count, aligned);
  side[group.first / 8] = static_cast<uint8_t>(TakeBits(&held));
}

bool Good(const invact_call* call, const void* y, const void* side, int64_t n) {
  return call != nullptr && n >= 0 &&
         (n == 0 || (y != nullptr && side != nullptr));
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int invact_put_bits_in_y(
    const invact_call* call, void* y, const void* side, int64_t n) {
  if (!Good(call, y, side, n)) return cudaErrorInvalidValue;
  if (n == 0) return cudaSuccess;
  return WithElement(call->dtype, [=](auto type) {
    using T = decltype(type);
    return Launch<1>(PutKernel<T>, kBitThreads, n, call->stream,
                     static_cast<T*>(y), static_cast<const uint8_t*>(side), n,
                     Aligned(y));
  });
}

extern "C" __attribute__((visibility("default"))) int invact_take_bits_from_y(
    const invact_call* call, const void* y, void* side, int64_t n) {
  if (!Good(call, y, side, n)) return cudaErrorInvalidValue;
  if (n == 0) return cudaSuccess;
  return WithElement(call->dtype, [=](auto type) {
    using T = decltype(type);
    return Launch<1>(TakeKernel<T>, kBitThreads, n, call->stream,
                     static_cast<const T*>(y), static_cast<uint8_t*>(side), n,
                     Aligned(y));
  });
}

}  // namespace invact::kernels
