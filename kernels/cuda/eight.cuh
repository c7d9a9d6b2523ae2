// Eight neighbouring elements, what one thread handles: with 16-byte accesses
// where the pointer allows, one by one at the end of a tensor or off alignment.
#ifndef INVACT_KERNELS_CUDA_EIGHT_CUH_
#define INVACT_KERNELS_CUDA_EIGHT_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/kernel_api.h"

namespace invact::kernels {

template <class T>
inline constexpr int kDtypeOf = INVACT_F32;
template <>
inline constexpr int kDtypeOf<__nv_bfloat16> = INVACT_BF16;
template <>
inline constexpr int kDtypeOf<__half> = INVACT_F16;

// Calls `body` with a value of the dtype's type.
template <class Body>
int WithElement(int dtype, Body body) {
  switch (dtype) {
    case INVACT_F32:
      return body(float{});
    case INVACT_BF16:
      return body(__nv_bfloat16{});
    case INVACT_F16:
      return body(__half{});
    default:
      return INVACT_BAD_ARGUMENT;
  }
}

__device__ __forceinline__ float ToFloat(float v) { return v; }
__device__ __forceinline__ float ToFloat(__nv_bfloat16 v) {
  return __bfloat162float(v);
}
__device__ __forceinline__ float ToFloat(__half v) { return __half2float(v); }

__device__ __forceinline__ void FromFloat(float v, float* to) { *to = v; }
__device__ __forceinline__ void FromFloat(float v, __nv_bfloat16* to) {
  *to = __float2bfloat16_rn(v);
}
__device__ __forceinline__ void FromFloat(float v, __half* to) {
  *to = __float2half_rn(v);
}

template <class T>
struct alignas(16) Eight {
  static constexpr int kWords = sizeof(T) * 8 / 16;
  T elements[8];

  // `count` of eight lie at `from`; the others are left as zeros.
  __device__ __forceinline__ void Load(const T* from, int64_t count,
                                       bool aligned) {
    if (aligned && count >= 8) {
#pragma unroll
      for (int w = 0; w < kWords; ++w) {
        reinterpret_cast<uint4*>(elements)[w] =
            reinterpret_cast<const uint4*>(from)[w];
      }
    } else {
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        if (k < count) {
          elements[k] = from[k];
        } else {
          FromFloat(0.0f, &elements[k]);
        }
      }
    }
  }

  __device__ __forceinline__ void Store(T* to, int64_t count,
                                        bool aligned) const {
    if (aligned && count >= 8) {
#pragma unroll
      for (int w = 0; w < kWords; ++w) {
        reinterpret_cast<uint4*>(to)[w] =
            reinterpret_cast<const uint4*>(elements)[w];
      }
    } else {
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        if (k < count) to[k] = elements[k];
      }
    }
  }
};

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CUDA_EIGHT_CUH_
