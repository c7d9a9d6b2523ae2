// Two neighbouring 16-bit elements in one register, as their 32 bits: half the
// instructions of one by one.
#ifndef INVACT_KERNELS_CUDA_PAIR_CUH_
#define INVACT_KERNELS_CUDA_PAIR_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/eight.cuh"

namespace invact::kernels {

// One in both halves.
constexpr unsigned kBoth = 0x10001u;

template <class T>
struct Pair;

template <>
struct Pair<__nv_bfloat16> {
  static __device__ __forceinline__ float2 ToFloats(unsigned pair) {
    return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
  }
  static __device__ __forceinline__ unsigned FromFloats(float2 v) {
    return Bits(__floats2bfloat162_rn(v.x, v.y));
  }
  // All ones in each half that is below `bound`.
  static __device__ __forceinline__ unsigned Below(unsigned pair, float bound) {
    return __hlt2_mask(Of(pair),
                       __bfloat162bfloat162(__float2bfloat16_ru(bound)));
  }
  static __device__ __forceinline__ unsigned Bits(__nv_bfloat162 v) {
    return *reinterpret_cast<const unsigned*>(&v);
  }
  static __device__ __forceinline__ __nv_bfloat162 Of(unsigned pair) {
    return *reinterpret_cast<const __nv_bfloat162*>(&pair);
  }
};

template <>
struct Pair<__half> {
  static __device__ __forceinline__ float2 ToFloats(unsigned pair) {
    return __half22float2(Of(pair));
  }
  static __device__ __forceinline__ unsigned FromFloats(float2 v) {
    return Bits(__floats2half2_rn(v.x, v.y));
  }
  static __device__ __forceinline__ unsigned Below(unsigned pair, float bound) {
    return __hlt2_mask(Of(pair), __half2half2(__float2half_ru(bound)));
  }
  static __device__ __forceinline__ unsigned Bits(__half2 v) {
    return *reinterpret_cast<const unsigned*>(&v);
  }
  static __device__ __forceinline__ __half2 Of(unsigned pair) {
    return *reinterpret_cast<const __half2*>(&pair);
  }
};

// Which of eight elements are below `bound`, a bit each. (x < bound is x < the
// next T at or above it.)
template <class T>
__device__ __forceinline__ unsigned BitsBelow(const Eight<T>& held,
                                              float bound) {
  const unsigned* const pairs =
      reinterpret_cast<const unsigned*>(held.elements);
  unsigned bits = 0;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    bits |= Pair<T>::Below(pairs[k], bound) & 0x20001u << 2 * k;
  }
  return (bits | bits >> 16) & 0xff;
}

__device__ __forceinline__ unsigned BitsBelow(const Eight<float>& held,
                                              float bound) {
  unsigned bits = 0;
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    bits |= static_cast<unsigned>(held.elements[k] < bound) << k;
  }
  return bits;
}

// `function` of each of the eight, in its place; it takes an element's value
// and number.
template <class T, class Function>
__device__ __forceinline__ void ForEach(Eight<T>* held, Function function) {
  unsigned* const pairs = reinterpret_cast<unsigned*>(held->elements);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const float2 values = Pair<T>::ToFloats(pairs[k]);
    pairs[k] = Pair<T>::FromFloats(
        {function(values.x, 2 * k), function(values.y, 2 * k + 1)});
  }
}

template <class Function>
__device__ __forceinline__ void ForEach(Eight<float>* held, Function function) {
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    held->elements[k] = function(held->elements[k], k);
  }
}

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CUDA_PAIR_CUH_
