#include "plugin/substitute/calibration_samples.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/ones_like.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "plugin/guard.h"
#include "plugin/substitute/kernel_registry.h"
#include "plugin/torch_compat.h"

namespace invact {

namespace {

constexpr int64_t kGrid = 65536;
constexpr double kGridEnd = 14;

// Nothing that the job sees: no counting, no profiler events, no casts of an
// autocast region, no inference tensors.
struct Unseen {
  const OwnWork own;
  const at::DisableRecordFunctionGuard no_events;
  const c10::InferenceMode no_inference{false};
  const c10::impl::ExcludeDispatchKeyGuard no_casts{
      c10::autocast_dispatch_keyset};
};

// Half the distance of the dtype's numbers at `value`.
double HalfUlp(double value, at::ScalarType dtype) {
  const int bits = dtype == at::kBFloat16 ? 8 : dtype == at::kHalf ? 11 : 24;
  int exponent = 0;
  std::frexp(value, &exponent);
  return std::ldexp(1, exponent - bits - 1);
}

// f' of the op at x: its node's answer to a gradient of ones.
at::Tensor SlopeOf(const Inversion& call, const at::Tensor& x) {
  NodePtr node;
  {
    const c10::AutoGradMode grad(true);
    at::Tensor leaf = x.detach().requires_grad_(true);
    torch::jit::Stack stack = call.arguments.StackFor(leaf);
    call.handle.callBoxed(&stack);
    node = stack[0].toTensor().grad_fn();
  }
  TORCH_CHECK(node != nullptr, "PyTorch records no gradient of the op");
  const c10::AutoGradMode no_grad(false);
  torch::autograd::variable_list ones(node->num_inputs());
  ones[0] = at::ones_like(x);
  return (*node)(std::move(ones))[0];
}

// y of the op into y, without memory of the device's allocator where the op has
// an overload that takes its outputs.
void ForwardInto(const Inversion& call, const at::Tensor& x,
                 const at::Tensor& y) {
  const at::AutoDispatchBelowADInplaceOrView below;
  auto& dispatcher = c10::Dispatcher::singleton();
  torch::jit::Stack stack = call.arguments.StackFor(x);
  for (const char* overload : {"out", "output"}) {
    const auto op = dispatcher.findSchema({call.op->name, overload});
    if (!op.has_value()) continue;
    stack.emplace_back(y);
    while (stack.size() < op->schema().arguments().size()) {
      stack.emplace_back(at::empty({0}, x.options()));
    }
    op->callBoxed(&stack);
    return;
  }
  call.handle.callBoxed(&stack);
  at::Tensor out = y;
  out.copy_(stack[0].toTensor());
}

double NormalBelow(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

std::string InFull(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g", value);
  return text;
}

}  // namespace

Shared MakeShared(int64_t count, at::ScalarType dtype, at::Device device) {
  const auto host_options = at::TensorOptions().dtype(dtype);
  if (!device.is_cuda()) {
    at::Tensor both = at::empty({count}, host_options);
    return {both, both};
  }
  at::Tensor host = at::empty({count}, host_options.pinned_memory(true));
  at::Tensor seen = at::for_blob(host.data_ptr(), {count})
                        .options(host_options.device(device))
                        .target_device(device)
                        .make_tensor();
  return {std::move(host), std::move(seen)};
}

CalibrationSamples::CalibrationSamples(at::ScalarType dtype, at::Device device)
    : dtype_(dtype) {
  const Unseen unseen;
  const bool wide = dtype == at::kFloat;
  const int64_t count = INVACT_PATTERNS + (wide ? kGrid : 0);
  x_ = MakeShared(count, dtype, device);
  y_ = MakeShared(count, dtype, device);
  void* to = x_.host.data_ptr();
  for (int64_t i = 0; i < INVACT_PATTERNS; ++i) {
    const auto pattern = static_cast<uint16_t>(i);
    if (!wide) {
      static_cast<uint16_t*>(to)[i] = pattern;
    } else {
      const uint32_t bits = uint32_t{pattern} << 16;
      std::memcpy(static_cast<float*>(to) + i, &bits, sizeof(bits));
    }
  }
  for (int64_t i = 0; wide && i < kGrid; ++i) {
    static_cast<float*>(to)[INVACT_PATTERNS + i] = static_cast<float>(
        -kGridEnd + 2 * kGridEnd * static_cast<double>(i) / (kGrid - 1));
  }
  const at::Tensor doubles = x_.host.to(at::kDouble);
  value_.assign(doubles.const_data_ptr<double>(),
                doubles.const_data_ptr<double>() + count);
  Weigh();
}

// Each finite value has what N(0, 1) gives to the values nearer to it than to
// any other.
void CalibrationSamples::Weigh() {
  weight_.assign(value_.size(), 0);
  std::vector<size_t> order;
  for (size_t i = 0; i < value_.size(); ++i) {
    if (std::isfinite(value_[i])) order.push_back(i);
  }
  std::sort(order.begin(), order.end(),
            [this](size_t a, size_t b) { return value_[a] < value_[b]; });
  double below = 0;
  for (size_t k = 0; k < order.size(); ++k) {
    const double up_to =
        k + 1 == order.size()
            ? 1
            : NormalBelow((value_[order[k]] + value_[order[k + 1]]) / 2);
    weight_[order[k]] = up_to - below;
    below = up_to;
  }
}

bool CalibrationSamples::AskTorch(const Inversion& call) {
  const Unseen unseen;
  at::Tensor slope;
  try {
    slope = SlopeOf(call, x_.host.to(at::kDouble));
  } catch (const c10::Error&) {  // no kernel for float64, say
    slope = SlopeOf(call, x_.host.to(at::kFloat));
  }
  if (!slope.defined()) return false;
  slope = slope.to(at::kFloat).contiguous();
  slope_.assign(slope.const_data_ptr<float>(),
                slope.const_data_ptr<float>() + slope.numel());
  const c10::AutoGradMode no_grad(false);
  ForwardInto(call, x_.device, y_.device);
  return true;
}

// With y and its bit no decoder does better than the middle of the f' of all x
// that share them, nor in the mean than their mean.
void CalibrationSamples::FindFloor(const at::Tensor& side,
                                   KernelFinding* finding) const {
  if (dtype_ == at::kFloat) {  // not to be had from samples
    finding->floor_max = finding->floor_rms = std::nan("");
    return;
  }
  struct Code {
    double low = HUGE_VAL, high = -HUGE_VAL, weight = 0, sum = 0, squares = 0;
  };
  std::vector<Code> codes(size_t{2} * INVACT_PATTERNS);
  const auto* y = static_cast<const uint16_t*>(y_.host.const_data_ptr());
  for (size_t i = 0; i < value_.size(); ++i) {
    if (!std::isfinite(value_[i]) || !std::isfinite(slope_[i])) continue;
    const bool bit =
        side.defined() &&
        (side.const_data_ptr<uint8_t>()[i / 8] >> (i % 8) & 1) != 0;
    Code& code = codes[size_t{y[i]} + (bit ? INVACT_PATTERNS : 0)];
    const double slope = slope_[i];
    code.low = std::min(code.low, slope);
    code.high = std::max(code.high, slope);
    code.weight += weight_[i];
    code.sum += weight_[i] * slope;
    code.squares += weight_[i] * slope * slope;
  }
  double variance = 0;
  for (const Code& code : codes) {
    if (code.low > code.high) continue;
    finding->floor_max =
        std::max(finding->floor_max, (code.high - code.low) / 2);
    if (code.weight > 0) {
      variance +=
          std::max(0.0, code.squares - code.sum * code.sum / code.weight);
    }
  }
  finding->floor_rms = std::sqrt(variance);
}

int64_t CalibrationSamples::OtherOutputs(const at::Tensor& y) const {
  const at::Tensor ours = y.to(at::kDouble), torchs = y_.host.to(at::kDouble);
  const double* own = ours.const_data_ptr<double>();
  const double* true_y = torchs.const_data_ptr<double>();
  int64_t other = 0;
  for (int64_t i = 0; i < count(); ++i) {
    const bool same = own[i] == true_y[i]
                          ? std::signbit(own[i]) == std::signbit(true_y[i])
                          : std::isnan(own[i]) && std::isnan(true_y[i]);
    other += !same;
  }
  return other;
}

bool CalibrationSamples::Judge(const invact_activation& kernels,
                               const at::Tensor& side, const at::Tensor& dx,
                               double loss, KernelFinding* finding) const {
  const int dtype = KernelDtype(dtype_);
  finding->stated_max = loss * kernels.error_max[dtype];
  finding->stated_rms = loss * kernels.error_rms[dtype];
  FindFloor(side, finding);

  const at::Tensor given = dx.to(at::kDouble);
  const double* slope = given.const_data_ptr<double>();
  double squares = 0, rounding = 0, excess = 0;
  int64_t lost_nan = 0, new_nan = 0;
  for (size_t i = 0; i < value_.size(); ++i) {
    const double truth = slope_[i];
    if (std::isnan(value_[i]))
      lost_nan += std::isnan(truth) && !std::isnan(slope[i]);
    if (!std::isfinite(value_[i]) || !std::isfinite(truth)) continue;
    if (!std::isfinite(slope[i])) {
      ++new_nan;
      continue;
    }
    const double error = std::fabs(slope[i] - truth);
    const double rounded = HalfUlp(slope[i], dtype_);
    finding->error_max = std::max(finding->error_max, error);
    excess = std::max(excess, error - rounded);
    squares += weight_[i] * error * error;
    rounding += weight_[i] * rounded * rounded;
  }
  finding->error_rms = std::sqrt(squares);
  const double allowed_rms =
      1.02 * std::hypot(finding->stated_rms, std::sqrt(rounding));
  std::string failed;
  if (new_nan > 0) {
    failed = std::to_string(new_nan) +
             " gradients are not finite where PyTorch's are";
  } else if (lost_nan > 0) {
    failed = std::to_string(lost_nan) +
             " gradients are numbers where PyTorch's are NaN";
  } else if (excess > finding->stated_max) {
    failed = "largest gradient error " + InFull(excess) + " above the stated " +
             InFull(finding->stated_max);
  } else if (finding->error_rms > allowed_rms) {
    failed = "RMS gradient error " + InFull(finding->error_rms) +
             " above the stated " + InFull(finding->stated_rms) +
             " and the rounding of dx";
  }
  if (failed.empty()) return true;
  finding->detail = std::move(failed);
  return false;
}

}  // namespace invact
