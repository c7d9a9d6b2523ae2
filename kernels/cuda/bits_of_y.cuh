// The branch bits of eight elements in y's own lowest mantissa bits: bit_in_y.h
// for what one thread handles.
#ifndef INVACT_KERNELS_CUDA_BITS_OF_Y_CUH_
#define INVACT_KERNELS_CUDA_BITS_OF_Y_CUH_

#include "kernels/bit_in_y.h"
#include "kernels/cuda/eight.cuh"
#include "kernels/decode.h"

namespace invact::kernels {

template <class T>
struct BitOf;
template <>
struct BitOf<float> : BitInY<uint32_t, 0x7f800000u> {};
template <>
struct BitOf<__nv_bfloat16> : BitInY<uint16_t, 0x7f80u> {};
template <>
struct BitOf<__half> : BitInY<uint16_t, 0x7c00u> {};

template <class T>
__device__ __forceinline__ unsigned TakeBits(const Eight<T>& y) {
  const auto* const words =
      reinterpret_cast<const typename BitOf<T>::Bits*>(y.elements);
  unsigned bits = 0;
#pragma unroll
  for (int k = 0; k < 8; ++k) bits |= BitOf<T>::Take(words[k]) << k;
  return bits;
}

template <class T>
__device__ __forceinline__ void PutBits(unsigned bits, Eight<T>* y) {
  auto* const words = reinterpret_cast<typename BitOf<T>::Bits*>(y->elements);
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    words[k] = BitOf<T>::Put(words[k], bits >> k & 1);
  }
}

// What the decoders are given for a stored y; float32's own places are finer
// than what they tell apart.
template <bool kBitInY, class T>
__device__ __forceinline__ float Decodable(T y) {
  if constexpr (kBitInY && sizeof(T) == 2) {
    return __uint_as_float(
        MiddleOfTwo<kMantissaBits<kDtypeOf<T>>>(__float_as_uint(ToFloat(y))));
  } else {
    return ToFloat(y);
  }
}

// Scalars::cells of such a y.
template <bool kBitInY, class T>
inline constexpr float kCellsOf = kBitInY && sizeof(T) == 2 ? 2 : 1;

// Those of the group that begins at `first`, from where they lie.
template <bool kBitInY, class T>
__device__ __forceinline__ unsigned BranchBits(const Eight<T>& y,
                                               const uint8_t* side,
                                               int64_t first) {
  if constexpr (kBitInY) {
    return TakeBits(y);
  } else {
    return side[first / 8];
  }
}

// And to there, beside a y that is stored after.
template <bool kBitInY, class T>
__device__ __forceinline__ void KeepBits(unsigned bits, Eight<T>* y,
                                         uint8_t* side, int64_t first) {
  if constexpr (kBitInY) {
    PutBits(bits, y);
  } else {
    side[first / 8] = static_cast<uint8_t>(bits);
  }
}

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CUDA_BITS_OF_Y_CUH_
