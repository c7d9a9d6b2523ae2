// Eight mask bytes in a 64-bit word to and from one byte. Little-endian.
#ifndef INVACT_KERNELS_BITS_EIGHT_BITS_H_
#define INVACT_KERNELS_BITS_EIGHT_BITS_H_

#include <cstdint>

#if defined(__CUDACC__)
#define INVACT_BITS_CALL __host__ __device__ __forceinline__
#else
#define INVACT_BITS_CALL inline
#endif

namespace invact::kernels {

// Bit i is set where byte i is not 0.
INVACT_BITS_CALL uint8_t PackEight(uint64_t bytes) {
  constexpr uint64_t kLow = 0x7f7f7f7f7f7f7f7f;
  const uint64_t ones = ((bytes | ((bytes & kLow) + kLow)) & ~kLow) >> 7;
  // Moves the bit of byte i to bit 56 + i; no two products meet.
  return static_cast<uint8_t>(ones * 0x0102040810204080 >> 56);
}

INVACT_BITS_CALL uint64_t UnpackEight(uint8_t bits) {
  constexpr uint64_t kLow = 0x7f7f7f7f7f7f7f7f;
  const uint64_t picked =
      bits * uint64_t{0x0101010101010101} & 0x8040201008040201;
  return ((picked + kLow) & ~kLow) >> 7;
}

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_BITS_EIGHT_BITS_H_
