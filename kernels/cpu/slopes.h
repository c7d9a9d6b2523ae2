// f' of a 16-bit dtype for every y and branch bit, learnt by `prepare`: one
// load in place of the polynomials, and as exact as y tells. Plain C++ in a
// file of its own: nothing of it may be compiled for one instruction set.
#ifndef INVACT_KERNELS_CPU_SLOPES_H_
#define INVACT_KERNELS_CPU_SLOPES_H_

#include "kernels/kernel_api.h"

namespace invact::kernels {

// f' at (bits of y) + 65536 * (branch bit); NaN where y is. Lives for ever, as
// backward reads it without a lock: 512 KiB, of which a tensor of N(0, 1)
// touches about 10. Null where memory is short. x < x0 is left. With
// `left_nan_is_limit` a NaN y whose bit is set comes from x = -inf and has f'
// there.
const float* MakeSlopes(const invact_patterns& patterns, int dtype, float x0,
                        bool left_nan_is_limit);

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CPU_SLOPES_H_
