// INVACT_BITS=mantissa: the branch bits in y's own lowest mantissa bits, those
// of negative outputs only, and nothing beside y.
//
// Threads: LoadBitInY once at start, the others any.
#ifndef INVACT_PLUGIN_SUBSTITUTE_BIT_IN_Y_H_
#define INVACT_PLUGIN_SUBSTITUTE_BIT_IN_Y_H_

#include <ATen/core/Tensor.h>

#include <string>

#include "kernels/kernel_api.h"

namespace invact {

// From now on bits go into y where the activation allows it.
void LoadBitInY(const std::string& lib_dir, bool cuda) noexcept;

// Whether the branch bits of this activation go into y.
bool BitInY(const invact_activation& activation) noexcept;

// Whether its kernels put the bits there and read them in their own pass, for
// which RunKernel is told INVACT_BIT_IN_Y and given no bits.
inline bool InOnePass(const invact_activation& activation) {
  return (activation.flags & INVACT_SERVES_BIT_IN_Y) != 0;
}

// Where not: into and out of y, as `bits` (a bit an element, in storage order).
// 0 or the kernel's error; on CUDA enqueued on the current stream.
int PutBitsInY(const at::Tensor& y, const void* bits) noexcept;
int TakeBitsFromY(const at::Tensor& y, void* bits) noexcept;

// What the stated bounds are multiplied by where the bit is in y: there a y is
// off by up to a whole last place more, and next to the minimum f' goes with
// the root of y's distance from it.
inline constexpr double kBitInYLoss = 2;

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_BIT_IN_Y_H_
