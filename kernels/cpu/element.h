// The 16-bit element types as the kernels see them: bits.
#ifndef INVACT_KERNELS_CPU_ELEMENT_H_
#define INVACT_KERNELS_CPU_ELEMENT_H_

#include <cstdint>

#include "kernels/kernel_api.h"

namespace invact::kernels {

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

template <class T>
inline constexpr int kDtypeOf = INVACT_F32;
template <>
inline constexpr int kDtypeOf<Bf16> = INVACT_BF16;
template <>
inline constexpr int kDtypeOf<F16> = INVACT_F16;

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CPU_ELEMENT_H_
