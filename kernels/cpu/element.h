// The 16-bit element types as the kernels see them: bits.
#ifndef INVACT_KERNELS_CPU_ELEMENT_H_
#define INVACT_KERNELS_CPU_ELEMENT_H_

#include <cstdint>

namespace invact::kernels {

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CPU_ELEMENT_H_
