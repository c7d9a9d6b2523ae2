// bfloat16 by tables of all its patterns, a slot of tables for each activation
// of this library and each device. Tables lie in the library's own device
// memory: no allocation, nothing to free.
#ifndef INVACT_KERNELS_CUDA_PATTERNS_H_
#define INVACT_KERNELS_CUDA_PATTERNS_H_

#include <cstdint>

#include "kernels/kernel_api.h"

namespace invact::kernels {

// Activations with tables; each costs 141 KiB of every device.
inline constexpr int kPatternSlots = 8;

// Builds the tables of `slot` for the current device and enqueues their upload
// on call.stream; x < x0 is left. All return 0, a cudaError_t, or
// INVACT_NOT_PREPARED where this was not called for the current device.
int PreparePatterns(int slot, const invact_call& call,
                    const invact_patterns& patterns, float x0);

// 0 where the slot's tables are there for the current device.
int PatternsReady(int slot);

// Enqueue y and the bits, and dx = dy * f'(x), of n > 0 elements; any thread.
// `side` is null where there are no bits, or where call.flags has them in y:
// the outputs that were learnt are then such as have them already.
int PatternForward(int slot, const invact_call& call, const void* x, void* y,
                   void* side, int64_t n);
int PatternBackward(int slot, const invact_call& call, const void* y,
                    const void* side, const void* dy, void* dx, int64_t n);

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CUDA_PATTERNS_H_
