// The branch bit in the lowest mantissa bit of y, one element at a time, for
// all processors. A finite y with its sign bit set has one, and NaN, which
// stays a NaN and gets its sign bit set where the bit is 1: hardswish makes it
// of -inf, left of the minimum. So a y whose sign bit is not set has none.
#ifndef INVACT_KERNELS_BIT_IN_Y_H_
#define INVACT_KERNELS_BIT_IN_Y_H_

#include <cstdint>

#include "kernels/kernel_api.h"

#ifdef __CUDACC__
#define INVACT_ANYWHERE __host__ __device__ __forceinline__
#else
#define INVACT_ANYWHERE inline
#endif

namespace invact::kernels {

// A y as its bits. kInfinity: those of +inf.
template <class Word, Word kInfinity>
struct BitInY {
  using Bits = Word;
  static constexpr Word kSign = Word(Word(1) << (8 * sizeof(Word) - 1));

  // The highest bit of the mantissa: a NaN with it is one whatever the others.
  static constexpr Word kQuiet = Word((kInfinity & (~kInfinity + 1)) >> 1);

  static INVACT_ANYWHERE bool Nan(Word y) {
    return Word(y & ~kSign) > kInfinity;
  }
  static INVACT_ANYWHERE bool Has(Word y) {
    return Word(y - kSign) < kInfinity || Nan(y);
  }
  static INVACT_ANYWHERE Word Put(Word y, unsigned bit) {
    const Word quiet =
        Nan(y) ? Word(kQuiet | (bit ? kSign : Word(0))) : Word(0);
    const Word put = Word((y & Word(~Word(1))) | quiet | Word(bit));
    return Has(y) ? put : y;
  }
  // Of a y that has been put.
  static INVACT_ANYWHERE unsigned Take(Word y) {
    return (y >> (8 * sizeof(Word) - 1)) & y & 1u;
  }
};

// Calls `body` with the BitInY of the dtype; `unknown` where there is none.
template <class Body>
int WithBitInY(int dtype, int unknown, Body body) {
  switch (dtype) {
    case INVACT_F32:
      return body(BitInY<uint32_t, 0x7f800000u>{});
    case INVACT_BF16:
      return body(BitInY<uint16_t, 0x7f80u>{});
    case INVACT_F16:
      return body(BitInY<uint16_t, 0x7c00u>{});
    default:
      return unknown;
  }
}

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_BIT_IN_Y_H_
