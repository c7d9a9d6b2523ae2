#include "plugin/fuse/program.h"

#include <algorithm>
#include <bit>

namespace invact::fuse {

namespace {

bool SameBits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}

bool IsFloat(Dtype dtype) { return dtype <= Dtype::kF16; }

// What PyTorch promotes two dtypes of tensors to.
Dtype Promoted(Dtype a, Dtype b) {
  if (!IsFloat(a)) return b;
  if (!IsFloat(b)) return a;
  return a == b ? a : Dtype::kF32;
}

class Checker {
 public:
  explicit Checker(const Program& program) : program_(program) {}

  std::string Check() {
    const auto& [inputs, steps, outputs] = program_;
    if (inputs.empty() || steps.empty() || outputs.empty()) {
      return "it has no inputs, steps or outputs";
    }
    if (inputs.size() > kMostInputs || steps.size() > kMostSteps ||
        outputs.size() > kMostOutputs) {
      return "it is too long";
    }
    for (const Input& input : inputs) {
      if (input.dtype == Dtype::kBit && input.pattern != Pattern::kFull) {
        return "a packed mask is broadcast";
      }
    }
    for (size_t i = 0; i < steps.size(); ++i) {
      const std::string flaw = CheckStep(static_cast<int32_t>(i));
      if (!flaw.empty()) {
        return "step " + std::to_string(i) + " (" + OpName(steps[i].op) +
               "): " + flaw;
      }
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] < 0 || outputs[i] >= static_cast<int32_t>(steps.size())) {
        return "an output is no step";
      }
      if (std::count(outputs.begin(), outputs.end(), outputs[i]) > 1) {
        return "an output is named twice";
      }
    }
    return {};
  }

 private:
  std::string CheckStep(int32_t i) const {
    const Step& step = program_.steps[i];
    if (static_cast<int>(step.op) >= kOps) return "unknown op";
    if (!IsFloat(step.result)) return "its result is no floating dtype";
    if (!Known(step.a, i) || step.a.kind == Operand::kImmediate) {
      return "its first operand is no earlier tensor";
    }
    if (IsBinary(step.op) ? !Known(step.b, i) : step.b.kind != Operand::kNone) {
      return "its second operand does not fit";
    }
    const Dtype a = DtypeOf(step.a);
    if (step.op == Op::kCast) return {};
    if (step.op == Op::kNormalise) return CheckNorm(step, a);
    if (step.op == Op::kPow) {
      constexpr double kServed[] = {2, 3, 0.5, -0.5, -1, -2};
      if (step.b.kind != Operand::kImmediate ||
          std::find(std::begin(kServed), std::end(kServed), step.b.value) ==
              std::end(kServed)) {
        return "PyTorch has no special case for the exponent";
      }
    }
    if (step.op == Op::kMaskScale) {
      if (step.b.kind != Operand::kInput || IsFloat(DtypeOf(step.b))) {
        return "its mask is no bool input";
      }
      return a == step.result ? "" : "its result has another dtype";
    }
    Dtype common = a;
    if (IsBinary(step.op) && step.b.kind != Operand::kImmediate) {
      common = Promoted(a, DtypeOf(step.b));
      if (step.op != Op::kMul && (!IsFloat(a) || !IsFloat(DtypeOf(step.b)))) {
        return "an operand is bool";
      }
    }
    if (common != step.result) {
      return "its result has not the dtype that its operands promote to";
    }
    return {};
  }

  std::string CheckNorm(const Step& step, Dtype a) const {
    const auto is = [&](const Operand& operand, Dtype dtype, Pattern pattern) {
      return operand.kind == Operand::kInput && Known(operand, 0) &&
             program_.inputs[operand.index] == Input{dtype, pattern};
    };
    for (const Operand& statistic : {step.mean, step.rstd}) {
      if (!is(statistic, Dtype::kF32, Pattern::kPerRow)) {
        return "a statistic is no float of each row";
      }
    }
    for (const Operand& affine : {step.weight, step.bias}) {
      // Without one of them PyTorch's roundings are others.
      if (!is(affine, a, Pattern::kPerColumn)) {
        return "its weight or bias is not of its operand's dtype, one a column";
      }
    }
    return a == step.result ? "" : "its result has another dtype";
  }

  bool Known(const Operand& operand, int32_t step) const {
    switch (operand.kind) {
      case Operand::kInput:
        return operand.index >= 0 &&
               operand.index < static_cast<int32_t>(program_.inputs.size());
      case Operand::kStep:
        return operand.index >= 0 && operand.index < step;
      case Operand::kImmediate:
        return true;
      case Operand::kNone:
        break;
    }
    return false;
  }

  Dtype DtypeOf(const Operand& operand) const {
    return operand.kind == Operand::kInput
               ? program_.inputs[operand.index].dtype
               : program_.steps[operand.index].result;
  }

  const Program& program_;
};

}  // namespace

const char* OpName(Op op) {
  switch (op) {
    case Op::kCast:
      return "cast";
    case Op::kNeg:
      return "neg";
    case Op::kAdd:
      return "add";
    case Op::kSub:
      return "sub";
    case Op::kRsub:
      return "rsub";
    case Op::kMul:
      return "mul";
    case Op::kDiv:
      return "div";
    case Op::kPow:
      return "pow";
    case Op::kSqrt:
      return "sqrt";
    case Op::kRsqrt:
      return "rsqrt";
    case Op::kReciprocal:
      return "reciprocal";
    case Op::kExp:
      return "exp";
    case Op::kTanh:
      return "tanh";
    case Op::kSigmoid:
      return "sigmoid";
    case Op::kSilu:
      return "silu";
    case Op::kGelu:
      return "gelu";
    case Op::kGeluTanh:
      return "gelu_tanh";
    case Op::kRelu:
      return "relu";
    case Op::kMaskScale:
      return "mask_scale";
    case Op::kNormalise:
      return "layer_norm";
  }
  return "?";
}

bool IsBinary(Op op) {
  return (op >= Op::kAdd && op <= Op::kPow) || op == Op::kMaskScale;
}

bool Operand::operator==(const Operand& other) const {
  return kind == other.kind && index == other.index &&
         SameBits(value, other.value);
}

bool Step::operator==(const Step& other) const {
  return op == other.op && result == other.result && a == other.a &&
         b == other.b && SameBits(alpha, other.alpha) && mean == other.mean &&
         rstd == other.rstd && weight == other.weight && bias == other.bias;
}

size_t ProgramHash::operator()(const Program& program) const noexcept {
  uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&hash](uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15;
    hash ^= hash >> 32;
  };
  const auto mix_operand = [&mix](const Operand& operand) {
    mix(uint64_t{operand.kind} << 32 | static_cast<uint32_t>(operand.index));
    mix(std::bit_cast<uint64_t>(operand.value));
  };
  for (const Input& input : program.inputs) {
    mix(static_cast<uint64_t>(input.dtype) << 8 |
        static_cast<uint64_t>(input.pattern));
  }
  for (const Step& step : program.steps) {
    mix(static_cast<uint64_t>(step.op) << 8 |
        static_cast<uint64_t>(step.result));
    mix_operand(step.a);
    mix_operand(step.b);
    mix(std::bit_cast<uint64_t>(step.alpha));
    for (const Operand& operand :
         {step.mean, step.rstd, step.weight, step.bias}) {
      mix_operand(operand);
    }
  }
  for (const int32_t output : program.outputs) mix(output);
  return hash;
}

std::string WhyRefused(const Program& program) {
  return Checker(program).Check();
}

int64_t DtypeBytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return 4;
    case Dtype::kBf16:
    case Dtype::kF16:
      return 2;
    case Dtype::kBool:
      return 1;
    case Dtype::kBit:
      break;
  }
  return 0;
}

}  // namespace invact::fuse
