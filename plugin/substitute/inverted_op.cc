#include "plugin/substitute/inverted_op.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/elu_backward.h>
#include <ATen/ops/hardshrink_backward.h>
#include <ATen/ops/hardtanh_backward.h>
#include <ATen/ops/leaky_relu_backward.h>
#include <ATen/ops/log1p.h>
#include <ATen/ops/sign.h>
#include <ATen/ops/softshrink_backward.h>
#include <ATen/ops/threshold_backward.h>
#include <ATen/ops/where.h>

#include <algorithm>

namespace invact {

namespace {

// What becomes of a scalar that PyTorch writes into a tensor of a 16-bit dtype.
// Float32 and float64 are compared as they are written.
double Stored(double value, at::ScalarType dtype) {
  const auto narrow = static_cast<float>(value);
  if (dtype == at::kBFloat16) return static_cast<float>(c10::BFloat16(narrow));
  if (dtype == at::kHalf) return static_cast<float>(c10::Half(narrow));
  return value;
}

at::Tensor Itself(const at::Tensor& y, const OpArguments&) { return y; }

// leaky_relu(x, slope): y > 0 exactly where x > 0. With a slope below 0 it
// takes a bit.
bool LeakyReluAccepts(const OpArguments& a, at::ScalarType) {
  return a.parameters[0] >= 0;
}
at::Tensor LeakyReluBackward(const at::Tensor& dy, const at::Tensor& y,
                             const OpArguments& a) {
  return at::leaky_relu_backward(dy, y, a.scalar(0), /*self_is_result=*/false);
}

// rrelu_with_noise(x, noise, lower, upper, training) when not training: a
// leaky_relu; the noise stays as it is.
double MeanSlope(const OpArguments& a) {
  return (a.parameters[0] + a.parameters[1]) / 2;
}
bool RreluAccepts(const OpArguments& a, at::ScalarType) {
  return a.parameters[2] == 0 && MeanSlope(a) >= 0;
}
at::Tensor RreluBackward(const at::Tensor& dy, const at::Tensor& y,
                         const OpArguments& a) {
  return at::leaky_relu_backward(dy, y, MeanSlope(a),
                                 /*self_is_result=*/false);
}

// hardtanh(x, low, high), ReLU6 too: y is at an end exactly where x is beyond,
// unless rounding moves the end onto an x inside.
bool HardtanhAccepts(const OpArguments& a, at::ScalarType dtype) {
  const auto& [low, high, unused, none] = a.parameters;
  return low <= high && Stored(low, dtype) == low &&
         Stored(high, dtype) == high;
}
at::Tensor HardtanhBackward(const at::Tensor& dy, const at::Tensor& y,
                            const OpArguments& a) {
  return at::hardtanh_backward(dy, y, a.scalar(0), a.scalar(1));
}

// threshold(x, t, value): y > t exactly where x > t, as value is not.
bool ThresholdAccepts(const OpArguments& a, at::ScalarType dtype) {
  const auto& [threshold, value, unused, none] = a.parameters;
  return std::max(value, Stored(value, dtype)) <=
         std::min(threshold, Stored(threshold, dtype));
}
at::Tensor ThresholdBackward(const at::Tensor& dy, const at::Tensor& y,
                             const OpArguments& a) {
  return at::threshold_backward(dy, y, a.scalar(0));
}

// hardshrink(x, l): y is x, or 0, which |x| <= l gives as well.
bool HardshrinkAccepts(const OpArguments& a, at::ScalarType) {
  return a.parameters[0] >= 0;
}
at::Tensor HardshrinkBackward(const at::Tensor& dy, const at::Tensor& y,
                              const OpArguments& a) {
  return at::hardshrink_backward(dy, y, a.scalar(0));
}

// softshrink(x, l): y is 0 exactly where |x| <= l, unless x and y are told
// apart from different l.
bool SoftshrinkAccepts(const OpArguments& a, at::ScalarType dtype) {
  return a.parameters[0] >= 0 &&
         Stored(a.parameters[0], dtype) == a.parameters[0];
}
at::Tensor SoftshrinkBackward(const at::Tensor& dy, const at::Tensor& y,
                              const OpArguments&) {
  return at::softshrink_backward(dy, y, 0);
}
at::Tensor SoftshrinkReconstruct(const at::Tensor& y, const OpArguments& a) {
  return y + at::sign(y) * a.scalar(0);
}

// elu(x, alpha, scale, input_scale), SELU and CELU too: left of 0 y is
// alpha * scale * expm1(input_scale * x), and f' is input_scale * (y + alpha *
// scale), which is what PyTorch computes for elu_.
bool EluAccepts(const OpArguments& a, at::ScalarType) {
  return a.parameters[0] > 0 && a.parameters[1] > 0 && a.parameters[2] > 0;
}
at::Tensor EluBackward(const at::Tensor& dy, const at::Tensor& y,
                       const OpArguments& a) {
  return at::elu_backward(dy, a.scalar(0), a.scalar(1), a.scalar(2),
                          /*is_result=*/true, y);
}
at::Tensor EluReconstruct(const at::Tensor& y, const OpArguments& a) {
  const double depth = a.parameters[0] * a.parameters[1];
  return at::where(y > 0, y / a.scalar(1), at::log1p(y / depth) / a.scalar(2));
}

// celu(x, alpha) is elu(x, alpha, 1, 1 / alpha).
OpArguments AsElu(const OpArguments& celu) {
  OpArguments elu;
  elu.parameters = {celu.parameters[0], 1, 1 / celu.parameters[0]};
  return elu;
}
bool CeluAccepts(const OpArguments& a, at::ScalarType) {
  return a.parameters[0] > 0;
}
at::Tensor CeluBackward(const at::Tensor& dy, const at::Tensor& y,
                        const OpArguments& a) {
  return EluBackward(dy, y, AsElu(a));
}
at::Tensor CeluReconstruct(const at::Tensor& y, const OpArguments& a) {
  return EluReconstruct(y, AsElu(a));
}

}  // namespace

std::span<const InvertedOp> BuiltInOps() {
  static const auto* ops = new std::vector<InvertedOp>{
      {"aten::gelu", "GeluBackward0", nullptr, nullptr, nullptr},
      {"aten::silu", "SiluBackward0", nullptr, nullptr, nullptr},
      {"aten::mish", "MishBackward0", nullptr, nullptr, nullptr},
      {"aten::hardswish", "HardswishBackward0", nullptr, nullptr, nullptr},
      {"aten::softplus", "SoftplusBackward0", nullptr, nullptr, nullptr},
      {"aten::log_sigmoid_forward", "LogSigmoidBackward0", nullptr, nullptr,
       nullptr},
      {"aten::hardsigmoid", "HardsigmoidBackward0", nullptr, nullptr, nullptr},
      {"aten::leaky_relu", "LeakyReluBackward0", LeakyReluAccepts,
       LeakyReluBackward, Itself, /*has_unread_tensor=*/false, "negative"},
      {"aten::rrelu_with_noise", "RreluWithNoiseBackward0", RreluAccepts,
       RreluBackward, Itself, /*has_unread_tensor=*/true},
      {"aten::hardtanh", "HardtanhBackward0", HardtanhAccepts, HardtanhBackward,
       Itself},
      {"aten::threshold", "ThresholdBackward0", ThresholdAccepts,
       ThresholdBackward, Itself},
      {"aten::hardshrink", "HardshrinkBackward0", HardshrinkAccepts,
       HardshrinkBackward, Itself},
      {"aten::softshrink", "SoftshrinkBackward0", SoftshrinkAccepts,
       SoftshrinkBackward, SoftshrinkReconstruct},
      {"aten::elu", "EluBackward0", EluAccepts, EluBackward, EluReconstruct},
      {"aten::celu", "CeluBackward0", CeluAccepts, CeluBackward,
       CeluReconstruct}};
  return *ops;
}

// An op that overwrites its input: PyTorch keeps a copy. leaky_relu_, elu_ and
// relu_ are not among them: PyTorch keeps their output.
//
// PReLU: the gradient of its weight is a sum over x itself, which y = weight x
// does not tell where the weight is 0; whether it is stands on the device,
// where asking would make the job wait.
std::span<const DeclinedOp> DeclinedOps() {
  static constexpr DeclinedOp kOps[] = {
      {"aten::gelu_", Reason::kInPlaceOp},
      {"aten::silu_", Reason::kInPlaceOp},
      {"aten::mish_", Reason::kInPlaceOp},
      {"aten::hardswish_", Reason::kInPlaceOp},
      {"aten::hardsigmoid_", Reason::kInPlaceOp},
      {"aten::hardtanh_", Reason::kInPlaceOp},
      {"aten::threshold_", Reason::kInPlaceOp},
      {"aten::_prelu_kernel", Reason::kNotInvertible}};
  return kOps;
}

}  // namespace invact
