// The branch bits of eight elements in y's own lowest mantissa bits: bit_in_y.h
// for what one thread handles.
#ifndef INVACT_KERNELS_CUDA_BITS_OF_Y_CUH_
#define INVACT_KERNELS_CUDA_BITS_OF_Y_CUH_

#include "kernels/bit_in_y.h"
#include "kernels/cuda/eight.cuh"
#include "kernels/cuda/pair.cuh"

namespace invact::kernels {

template <class T>
struct BitOf;
template <>
struct BitOf<float> : BitInY<uint32_t, 0x7f800000u> {};
template <>
struct BitOf<__nv_bfloat16> : BitInY<uint16_t, 0x7f80u> {};
template <>
struct BitOf<__half> : BitInY<uint16_t, 0x7c00u> {};

// Takes them out: where one was, y has a 0.
template <class T>
__device__ __forceinline__ unsigned TakeBits(Eight<T>* y) {
  unsigned bits = 0;
  if constexpr (sizeof(T) == 2) {
    unsigned* const pairs = reinterpret_cast<unsigned*>(y->elements);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const unsigned taken = pairs[k] & pairs[k] >> 15 & kBoth;
      pairs[k] ^= taken;
      bits |= taken << 2 * k;
    }
    return (bits | bits >> 15) & 0xff;
  } else {
    unsigned* const words = reinterpret_cast<unsigned*>(y->elements);
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      const unsigned taken = BitOf<T>::Take(words[k]);
      words[k] ^= taken;
      bits |= taken << k;
    }
    return bits;
  }
}

template <class T>
__device__ __forceinline__ void PutBits(unsigned bits, Eight<T>* y) {
  auto* const words = reinterpret_cast<typename BitOf<T>::Bits*>(y->elements);
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    words[k] = BitOf<T>::Put(words[k], bits >> k & 1);
  }
}

// The same of a function that is never -inf, and f' of which is NaN where y is,
// so that the bit of a NaN does not count.
template <class T>
__device__ __forceinline__ void PutBitsOfDecoded(unsigned bits, Eight<T>* y) {
  unsigned* const words = reinterpret_cast<unsigned*>(y->elements);
  if constexpr (sizeof(T) == 2) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const unsigned negative = words[k] >> 15 & kBoth;
      const unsigned both =
          (bits >> 2 * k & 1) | (bits << (15 - 2 * k) & 0x10000);
      words[k] = (words[k] & ~negative) | (both & negative);
    }
  } else {
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      const unsigned negative = words[k] >> 31;
      words[k] = (words[k] & ~negative) | (bits >> k & negative);
    }
  }
}

// Scalars::cells of such a y. float32's own places are finer than what the
// decoders tell apart.
template <bool kBitInY, class T>
inline constexpr float kCellsOf = kBitInY && sizeof(T) == 2 ? 2 : 1;

// Those of the group that begins at `first`, from where they lie.
template <bool kBitInY, class T>
__device__ __forceinline__ unsigned BranchBits(Eight<T>* y, const uint8_t* side,
                                               int64_t first) {
  if constexpr (kBitInY) {
    return TakeBits(y);
  } else {
    return side[first / 8];
  }
}

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CUDA_BITS_OF_Y_CUH_
