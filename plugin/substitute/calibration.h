// Checks kernels on this machine before they are used: the first time that an
// activation of the registry is to be served in a dtype on a device, its
// kernels run over all patterns of a 16-bit dtype (in float32 over 131072
// values) and must give
//   * PyTorch's own y, bit for bit, where they promise that (forward_exact;
//   with
//     INVACT_FORWARD_BY_FORMULA PyTorch's own forward is called where not);
//   * f'(x) within the stated bounds, f' being PyTorch's in float64 on the CPU;
//   * NaN where PyTorch's gradient at a NaN x is NaN, and no other NaN.
// Whoever fails is left alone for good, with CALIBRATION_FAILED. Kernels that
// want a table (`prepare`) learn what PyTorch gives here. Ops with parameters
// are checked with the first eight sets of them.
//
// Harmless to the job: on CUDA it runs on a stream of its own, on pinned host
// memory, never inside a graph capture; the generators, the device allocator
// and its statistics are not touched.
//
// Threads: any; one calibration at a time.
#ifndef INVACT_PLUGIN_SUBSTITUTE_CALIBRATION_H_
#define INVACT_PLUGIN_SUBSTITUTE_CALIBRATION_H_

#include <ATen/core/Tensor.h>

#include "plugin/substitute/invert_node.h"
#include "proto/codes.h"

namespace invact {

// kNone when the call's kernels may serve `x`; says of the call whether their
// forward may. PyTorch's own are not checked, only noted.
Reason Calibrated(Inversion* call, const at::Tensor& x) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_CALIBRATION_H_
