// The stated gradient errors of the built-in kernels, on every device: largest
// and root mean square (x ~ N(0, 1)) of |f'(decoded) - f'(x)|, by dtype
// float32, bfloat16, float16. tests/unit/kernels holds the kernels to them.
#ifndef INVACT_KERNELS_BOUNDS_H_
#define INVACT_KERNELS_BOUNDS_H_

#include "kernels/kernel_api.h"

namespace invact::kernels {

struct Bounds {
  const char* op;
  const char* variant;
  double error_max[INVACT_DTYPES];
  double error_rms[INVACT_DTYPES];
};

inline constexpr Bounds kGeluBounds = {
    "aten::gelu", "none", {2e-4, 1.3e-2, 7.2e-3}, {5e-6, 1.6e-3, 4.4e-4}};
inline constexpr Bounds kGeluTanhBounds = {
    "aten::gelu", "tanh", {2e-4, 1.3e-2, 7.2e-3}, {5e-6, 1.6e-3, 4.4e-4}};
inline constexpr Bounds kSiluBounds = {
    "aten::silu", "", {2e-4, 1.4e-2, 5.7e-3}, {5e-6, 1.7e-3, 3.7e-4}};

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_BOUNDS_H_
