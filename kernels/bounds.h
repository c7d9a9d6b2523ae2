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

// In float32 the last places that PyTorch's y is off by are what limits them:
// tests/unit/kernels has the less for a y that is rounded correctly.
inline constexpr Bounds kGeluBounds = {
    "aten::gelu", "none", {1.5e-4, 1.3e-2, 7.2e-3}, {2e-6, 1.6e-3, 4.4e-4}};
// On CUDA PyTorch's y of this one leaves 1.75e-4.
inline constexpr Bounds kGeluTanhBounds = {
    "aten::gelu", "tanh", {1.8e-4, 1.3e-2, 5.2e-3}, {2e-6, 1.6e-3, 3.4e-4}};
inline constexpr Bounds kSiluBounds = {
    "aten::silu", "", {1.5e-4, 1.4e-2, 5.6e-3}, {2e-6, 1.7e-3, 3.7e-4}};
inline constexpr Bounds kMishBounds = {
    "aten::mish", "", {1.6e-4, 1.5e-2, 6e-3}, {2e-6, 2.1e-3, 4.2e-4}};
inline constexpr Bounds kHardswishBounds = {
    "aten::hardswish", "", {1.5e-4, 1.5e-2, 6e-3}, {2e-6, 1.6e-3, 3.6e-4}};
inline constexpr Bounds kSoftplusBounds = {
    "aten::softplus", "", {5e-7, 1.5e-3, 2e-4}, {2e-7, 5.5e-4, 7e-5}};
inline constexpr Bounds kLogSigmoidBounds = {"aten::log_sigmoid_forward",
                                             "",
                                             {5e-7, 1.5e-3, 2e-4},
                                             {2e-7, 5.5e-4, 7e-5}};
// The largest float32 below 3 gives 1, as 3 does, but has the slope 1/6.
inline constexpr Bounds kHardsigmoidBounds = {
    "aten::hardsigmoid", "", {0.167, 1e-8, 1e-8}, {6e-6, 1e-8, 1e-8}};

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_BOUNDS_H_
