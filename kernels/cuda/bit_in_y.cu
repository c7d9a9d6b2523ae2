// The branch bits into y and out of it: one pass, eight elements and one byte a
// thread.
#include <cuda_runtime.h>

#include "kernels/bit_in_y.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/kernel_api.h"

namespace invact::kernels {
namespace {

constexpr int kBitThreads = 128;

// Eight neighbouring words, 0 past the end.
template <class Word>
struct alignas(16) EightWords {
  static constexpr int kQuads = sizeof(Word) * 8 / 16;
  Word words[8];

  __device__ __forceinline__ void Load(const Word* from, int64_t count,
                                       bool aligned) {
    if (aligned && count >= 8) {
#pragma unroll
      for (int q = 0; q < kQuads; ++q) {
        reinterpret_cast<uint4*>(words)[q] =
            reinterpret_cast<const uint4*>(from)[q];
      }
    } else {
#pragma unroll
      for (int k = 0; k < 8; ++k) words[k] = k < count ? from[k] : Word(0);
    }
  }
  __device__ __forceinline__ void Store(Word* to, int64_t count,
                                        bool aligned) const {
    if (aligned && count >= 8) {
#pragma unroll
      for (int q = 0; q < kQuads; ++q) {
        reinterpret_cast<uint4*>(to)[q] =
            reinterpret_cast<const uint4*>(words)[q];
      }
    } else {
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        if (k < count) to[k] = words[k];
      }
    }
  }
};

template <class How>
__global__ void __launch_bounds__(kBitThreads)
    PutKernel(typename How::Bits* y, const uint8_t* side, int64_t n,
              bool aligned) {
  const Group group = ThisGroup<1>(n, 0);
  if (group.count <= 0) return;
  EightWords<typename How::Bits> held;
  held.Load(y + group.first, group.count, aligned);
  const unsigned bits = side[group.first / 8];
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    held.words[k] = How::Put(held.words[k], bits >> k & 1);
  }
  held.Store(y + group.first, group.count, aligned);
}

template <class How>
__global__ void __launch_bounds__(kBitThreads)
    TakeKernel(const typename How::Bits* y, uint8_t* side, int64_t n,
               bool aligned) {
  const Group group = ThisGroup<1>(n, 0);
  if (group.count <= 0) return;
  EightWords<typename How::Bits> held;
  held.Load(y + group.first, group.count, aligned);
  unsigned bits = 0;
#pragma unroll
  for (int k = 0; k < 8; ++k) bits |= How::Take(held.words[k]) << k;
  side[group.first / 8] = static_cast<uint8_t>(bits);
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
  return WithBitInY(call->dtype, cudaErrorInvalidValue, [=](auto how) {
    using How = decltype(how);
    return Launch<1>(PutKernel<How>, kBitThreads, n, call->stream,
                     static_cast<typename How::Bits*>(y),
                     static_cast<const uint8_t*>(side), n, Aligned(y));
  });
}

extern "C" __attribute__((visibility("default"))) int invact_take_bits_from_y(
    const invact_call* call, const void* y, void* side, int64_t n) {
  if (!Good(call, y, side, n)) return cudaErrorInvalidValue;
  if (n == 0) return cudaSuccess;
  return WithBitInY(call->dtype, cudaErrorInvalidValue, [=](auto how) {
    using How = decltype(how);
    return Launch<1>(TakeKernel<How>, kBitThreads, n, call->stream,
                     static_cast<const typename How::Bits*>(y),
                     static_cast<uint8_t*>(side), n, Aligned(y));
  });
}

}  // namespace invact::kernels
