// The inputs of a calibration, what PyTorch makes of them, and how good the
// kernels' answer is.
//
// Threads: one, its owner.
#ifndef INVACT_PLUGIN_SUBSTITUTE_CALIBRATION_SAMPLES_H_
#define INVACT_PLUGIN_SUBSTITUTE_CALIBRATION_SAMPLES_H_

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "kernels/kernel_api.h"
#include "plugin/observe/kernel_finding.h"
#include "plugin/substitute/invert_node.h"

namespace invact {

// Host memory that the device of the calibration reads and writes in place.
struct Shared {
  at::Tensor host;    // CPU; pinned for a CUDA device
  at::Tensor device;  // the same bytes
};
Shared MakeShared(int64_t count, at::ScalarType dtype, at::Device device);

class CalibrationSamples {
 public:
  // Every pattern of a 16-bit dtype; for float32 the values of all bfloat16
  // patterns and a grid over [-14, 14].
  CalibrationSamples(at::ScalarType dtype, at::Device device);

  // f' of PyTorch in float64 (float32 where the op has no float64) on the CPU,
  // and y of PyTorch in the dtype on the device, enqueued on the current
  // stream. Throws what PyTorch throws. False inside a backward that was asked
  // for some inputs only, where no node gives the gradient of others.
  bool AskTorch(const Inversion& call);

  // Elements in which `y` has not PyTorch's bits; all NaN are one.
  int64_t OtherOutputs(const at::Tensor& y) const;
  // Fill `finding` from what the kernels made of `x`. True when they keep to
  // `loss` times what `kernels` states; else `finding` says what failed. `side`
  // is undefined where y alone tells x.
  bool Judge(const invact_activation& kernels, const at::Tensor& side,
             const at::Tensor& dx, double loss, KernelFinding* finding) const;

  const Shared& x() const { return x_; }
  const Shared& y() const { return y_; }
  const std::vector<float>& slope() const { return slope_; }
  int64_t count() const { return x_.host.numel(); }

 private:
  void Weigh();
  void FindFloor(const at::Tensor& side, KernelFinding* finding) const;

  at::ScalarType dtype_;
  Shared x_, y_;
  std::vector<double> value_;   // x
  std::vector<double> weight_;  // share of N(0, 1); 0 where x is not finite
  std::vector<float> slope_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_CALIBRATION_SAMPLES_H_
