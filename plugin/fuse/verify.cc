#include "plugin/fuse/verify.h"

#include <ATen/ScalarOps.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/add.h>
#include <ATen/ops/div.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/native_dropout_backward.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/tanh.h>
#include <ATen/record_function.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "plugin/fuse/side_work.h"
#include "plugin/guard.h"

namespace invact::fuse {

namespace {

constexpr int64_t kPatterns = 65536;

struct Shape {
  int64_t rows, cols;
  int64_t numel() const { return rows * cols; }
};
// Whole groups: all patterns, and as many again in another pairing. Then rows
// that no group of eight divides, and a tail where nothing is broadcast.
constexpr Shape kShapes[] = {{256, 512}, {131, 509}};

at::ScalarType TorchDtype(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return at::kFloat;
    case Dtype::kBf16:
      return at::kBFloat16;
    case Dtype::kF16:
      return at::kHalf;
    case Dtype::kBool:
      return at::kBool;
    case Dtype::kBit:
      break;
  }
  return at::kByte;
}

// An input as the kernel and as PyTorch reads it.
struct Sample {
  Mapped given;
  at::Tensor seen;  // for PyTorch: [rows, cols], expanded
  Mapped mask;      // of a packed one, unpacked
};

// All patterns; ordinary numbers only, as a norm's rows have to be.
enum class Samples { kAll, kOrdinary };

class Trial {
 public:
  Trial(const FusedKernel& kernel, Shape shape, Samples samples)
      : kernel_(kernel),
        shape_(shape),
        all_(samples == Samples::kAll),
        device_(at::kCUDA, static_cast<c10::DeviceIndex>(kernel.device)) {}

  // Enqueues both ways.
  void Run() {
    const Program& program = kernel_.program;
    for (size_t i = 0; i < program.inputs.size(); ++i) MakeSample(i);
    for (const Step& step : program.steps) {
      truths_.push_back(MakeMapped({shape_.rows, shape_.cols},
                                   TorchDtype(step.result), device_));
      AskTorch(step, &truths_.back().device);
    }
    std::vector<at::Tensor> inputs, outputs;
    for (const Sample& sample : samples_) inputs.push_back(sample.given.device);
    for (const int32_t step : program.outputs) {
      found_.push_back(MakeMapped({shape_.rows, shape_.cols},
                                  TorchDtype(program.steps[step].result),
                                  device_));
      std::memset(found_.back().host.data_ptr(), 0x5a,
                  found_.back().host.nbytes());
      outputs.push_back(found_.back().device);
    }
    TORCH_CHECK(Launch(kernel_, inputs, outputs), "its kernel did not start");
  }

  // After the stream ran. Empty, or the first step that differs.
  std::string Compare() const {
    const Program& program = kernel_.program;
    for (size_t i = 0; i < found_.size(); ++i) {
      const Step& step = program.steps[program.outputs[i]];
      const int64_t wrong = CountDifferent(
          found_[i].host, truths_[program.outputs[i]].host, step.result);
      if (wrong > 0) {
        return "output " + std::to_string(i) + " (" + OpName(step.op) +
               ") differs from PyTorch's in " + std::to_string(wrong) + " of " +
               std::to_string(shape_.numel()) + " values";
      }
    }
    return {};
  }

 private:
  static int64_t CountDifferent(const at::Tensor& a, const at::Tensor& b,
                                Dtype dtype) {
    int64_t wrong = 0;
    const auto count = [&](auto bits, uint32_t magnitude, uint32_t infinity) {
      using Bits = decltype(bits);
      const auto* x = static_cast<const Bits*>(a.const_data_ptr());
      const auto* y = static_cast<const Bits*>(b.const_data_ptr());
      for (int64_t i = 0; i < a.numel(); ++i) {
        const bool both_nan =
            (x[i] & magnitude) > infinity && (y[i] & magnitude) > infinity;
        wrong += x[i] != y[i] && !both_nan;
      }
    };
    if (dtype == Dtype::kF32) count(uint32_t{}, 0x7fffffff, 0x7f800000);
    if (dtype == Dtype::kBf16) count(uint16_t{}, 0x7fff, 0x7f80);
    if (dtype == Dtype::kF16) count(uint16_t{}, 0x7fff, 0x7c00);
    return wrong;
  }

  void MakeSample(size_t index) {
    const Input& input = kernel_.program.inputs[index];
    std::vector<int64_t> sizes;
    switch (input.pattern) {
      case Pattern::kFull:
        sizes = {shape_.rows, shape_.cols};
        break;
      case Pattern::kPerRow:
        sizes = {shape_.rows, 1};
        break;
      case Pattern::kPerColumn:
        sizes = {shape_.cols};
        break;
      case Pattern::kScalar:
        sizes = {1};
        break;
    }
    Sample sample;
    if (input.dtype == Dtype::kBit) {
      sample.mask = MakeMapped(sizes, at::kBool, device_);
      sample.given = MakeMapped({(shape_.numel() + 7) / 8}, at::kByte, device_);
      FillMask(sample.mask.host);
      Pack(sample.mask.host, sample.given.host);
      sample.seen = sample.mask.device;
    } else {
      sample.given = MakeMapped(sizes, TorchDtype(input.dtype), device_);
      Fill(sample.given.host, input, index);
      sample.seen = sample.given.device.expand({shape_.rows, shape_.cols});
    }
    samples_.push_back(std::move(sample));
  }

  void FillMask(const at::Tensor& to) {
    auto* p = static_cast<uint8_t*>(to.data_ptr());
    for (int64_t i = 0; i < to.numel(); ++i) p[i] = random_() % 10 != 0;
  }

  static void Pack(const at::Tensor& mask, const at::Tensor& to) {
    const auto* p = static_cast<const uint8_t*>(mask.const_data_ptr());
    auto* q = static_cast<uint8_t*>(to.data_ptr());
    std::memset(q, 0, to.nbytes());
    for (int64_t i = 0; i < mask.numel(); ++i) q[i / 8] |= p[i] << (i % 8);
  }

  void Fill(const at::Tensor& to, const Input& input, size_t index) {
    if (input.dtype == Dtype::kBool) return FillMask(to);
    const int64_t n = to.numel();
    std::normal_distribution<float> normal(0, 3);
    if (input.dtype == Dtype::kF32) {
      auto* p = static_cast<float*>(to.data_ptr());
      for (int64_t i = 0; i < n; ++i) {
        const auto bits = static_cast<uint32_t>(random_());
        if (i % 2 == 0 || !all_) {
          p[i] = normal(random_);
        } else {
          std::memcpy(p + i, &bits, sizeof(bits));
        }
      }
      return;
    }
    // Every pattern, each input in an order of its own; then in another.
    auto* p = static_cast<uint16_t*>(to.data_ptr());
    const auto odd = static_cast<uint32_t>(2 * index * 7919 + 1);
    for (int64_t i = 0; i < n; ++i) {
      const auto k = static_cast<uint32_t>(i);
      p[i] = static_cast<uint16_t>(k * odd + (i < kPatterns ? 0 : 31 * index));
    }
    // A broadcast operand that is mostly unusual would show little.
    if (input.pattern != Pattern::kFull || !all_) {
      for (int64_t i = 0; i < n; ++i) {
        const float value = normal(random_);
        if (i % 8 == 7 && all_) {
          p[i] = static_cast<uint16_t>(random_());
        } else if (input.dtype == Dtype::kBf16) {
          p[i] = c10::BFloat16(value).x;
        } else {
          p[i] = c10::Half(value).x;
        }
      }
    }
  }

  at::Tensor TensorOf(const Operand& operand) const {
    switch (operand.kind) {
      case Operand::kInput:
        return samples_[operand.index].seen;
      case Operand::kStep:
        return truths_[operand.index].device;
      default:
        break;
    }
    at::Tensor number = c10::scalar_to_tensor(operand.value);
    number.unsafeGetTensorImpl()->set_wrapped_number(true);
    return number;
  }

  // The statistics are those that PyTorch gives.
  void AskNorm(const Step& step, const at::Tensor& a, at::Tensor* out) const {
    const auto [y, mean, rstd] = at::native_layer_norm(
        a.contiguous(), {shape_.cols}, samples_[step.weight.index].given.device,
        samples_[step.bias.index].given.device, 1e-5);
    out->copy_(y);
    samples_[step.mean.index].given.device.copy_(mean);
    samples_[step.rstd.index].given.device.copy_(rstd);
  }

  void AskTorch(const Step& step, at::Tensor* out) const {
    const at::Tensor a = TensorOf(step.a);
    const at::Tensor b =
        step.b.kind == Operand::kNone ? at::Tensor() : TensorOf(step.b);
    switch (step.op) {
      case Op::kCast:
        out->copy_(a);
        break;
      case Op::kNeg:
        at::neg_out(*out, a);
        break;
      case Op::kAdd:
        at::add_out(*out, a, b, step.alpha);
        break;
      case Op::kSub:
        at::sub_out(*out, a, b, step.alpha);
        break;
      case Op::kRsub:
        at::sub_out(*out, b, a, step.alpha);
        break;
      case Op::kMul:
        at::mul_out(*out, a, b);
        break;
      case Op::kDiv:
        at::div_out(*out, a, b);
        break;
      case Op::kPow:
        at::pow_out(*out, a, step.b.value);
        break;
      case Op::kSqrt:
        at::sqrt_out(*out, a);
        break;
      case Op::kRsqrt:
        at::rsqrt_out(*out, a);
        break;
      case Op::kReciprocal:
        at::reciprocal_out(*out, a);
        break;
      case Op::kExp:
        at::exp_out(*out, a);
        break;
      case Op::kTanh:
        at::tanh_out(*out, a);
        break;
      case Op::kSigmoid:
        at::sigmoid_out(*out, a);
        break;
      case Op::kSilu:
        at::silu_out(*out, a);
        break;
      case Op::kGelu:
        at::gelu_out(*out, a, "none");
        break;
      case Op::kGeluTanh:
        at::gelu_out(*out, a, "tanh");
        break;
      case Op::kRelu:
        at::relu_out(*out, a);
        break;
      case Op::kMaskScale:
        out->copy_(at::native_dropout_backward(a, b, step.alpha));
        break;
      case Op::kNormalise:
        AskNorm(step, a, out);
        break;
    }
  }

  const FusedKernel& kernel_;
  const Shape shape_;
  const bool all_;
  const at::Device device_;
  std::mt19937 random_{20};  // not the job's generators
  std::vector<Sample> samples_;
  std::vector<Mapped> truths_;  // by step
  std::vector<Mapped> found_;   // by output
};

}  // namespace

std::string Verify(const FusedKernel& kernel) {
  const OwnWork own;
  const at::DisableRecordFunctionGuard no_events;
  const at::AutoDispatchBelowADInplaceOrView below;
  const SideStream stream(
      at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(kernel.device)));
  for (const Samples samples : {Samples::kAll, Samples::kOrdinary}) {
    for (const Shape shape : kShapes) {
      Trial trial(kernel, shape, samples);
      trial.Run();
      stream.Wait();
      if (std::string wrong = trial.Compare(); !wrong.empty()) return wrong;
    }
  }
  return {};
}

}  // namespace invact::fuse
