// What a calibration found out about one activation's kernels on one device
// and dtype, as `invact kernels` shows it.
#ifndef INVACT_PLUGIN_OBSERVE_KERNEL_FINDING_H_
#define INVACT_PLUGIN_OBSERVE_KERNEL_FINDING_H_

#include <string>

#include "proto/codes.h"

namespace invact {

struct KernelFinding {
  std::string op;       // "aten::gelu", "aten::gelu(tanh)"
  std::string dtype;    // "bfloat16"
  std::string device;   // "cpu", "cuda:0"
  std::string library;  // "built-in", or the path that INVACT_KERNELS names
  int side_bits = 0;    // bits an element beside y
  // |f'(decoded) - f'(x)|: the largest, and the root mean square for
  // x ~ N(0, 1). Stated by the library; the least that the stored bits allow;
  // measured here, the rounding of dx in it.
  double stated_max = 0, stated_rms = 0;
  double floor_max = 0, floor_rms = 0;
  double error_max = 0, error_rms = 0;
  // kNone: served. kCalibrationFailed: PyTorch's own kernel is used.
  Reason reason = Reason::kNone;
  std::string detail;  // what failed, for people; empty where served
};

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_KERNEL_FINDING_H_
