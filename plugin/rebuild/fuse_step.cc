#include "plugin/rebuild/fuse_step.h"

#include <algorithm>
#include <string_view>

#include "plugin/rebuild/recorded_op.h"

namespace invact {

namespace {

struct Form {
  std::string_view name;
  fuse::Op op;
  bool binary;
  bool alpha;  // the third argument
};
constexpr Form kForms[] = {
    {"add.Tensor", fuse::Op::kAdd, true, true},
    {"add.Scalar", fuse::Op::kAdd, true, true},
    {"sub.Tensor", fuse::Op::kSub, true, true},
    {"sub.Scalar", fuse::Op::kSub, true, true},
    {"rsub.Scalar", fuse::Op::kRsub, true, true},
    {"mul.Tensor", fuse::Op::kMul, true, false},
    {"mul.Scalar", fuse::Op::kMul, true, false},
    {"div.Tensor", fuse::Op::kDiv, true, false},
    {"div.Scalar", fuse::Op::kDiv, true, false},
    {"pow.Tensor_Scalar", fuse::Op::kPow, true, false},
    {"native_dropout", fuse::Op::kMaskScale, true, true},
    {"_to_copy", fuse::Op::kCast, false, false},
    {"neg", fuse::Op::kNeg, false, false},
    {"sqrt", fuse::Op::kSqrt, false, false},
    {"rsqrt", fuse::Op::kRsqrt, false, false},
    {"reciprocal", fuse::Op::kReciprocal, false, false},
    {"exp", fuse::Op::kExp, false, false},
    {"tanh", fuse::Op::kTanh, false, false},
    {"sigmoid", fuse::Op::kSigmoid, false, false},
    {"silu", fuse::Op::kSilu, false, false},
    {"gelu", fuse::Op::kGelu, false, false},
    {"relu", fuse::Op::kRelu, false, false},
};

const Form* FormOf(std::string_view op) {
  const auto form =
      std::find_if(std::begin(kForms), std::end(kForms),
                   [&](const Form& one) { return one.name == op; });
  return form == std::end(kForms) ? nullptr : &*form;
}

// The value of a Python number, also in the clothes of a tensor.
std::optional<double> NumberOf(const c10::IValue& argument) {
  if (argument.isDouble()) return argument.toDouble();
  if (argument.isInt()) return static_cast<double>(argument.toInt());
  if (!argument.isTensor() || !argument.toTensor().defined()) {
    return std::nullopt;
  }
  const at::Tensor& tensor = argument.toTensor();
  if (tensor.scalar_type() == at::kDouble) {
    return *tensor.const_data_ptr<double>();
  }
  if (tensor.scalar_type() == at::kLong) {
    return static_cast<double>(*tensor.const_data_ptr<int64_t>());
  }
  return std::nullopt;
}

const Recipe::Input* InputAt(const Recipe& recipe, uint32_t position) {
  for (const Recipe::Input& input : recipe.inputs) {
    if (input.position == position) return &input;
  }
  return nullptr;
}

// Over the last dimension, with the statistics noted.
std::optional<FuseStep> LayerNormOf(const Recipe& recipe, fuse::Dtype result) {
  const Recipe::Input* x = InputAt(recipe, 0);
  if (recipe.statistics.size() != 2 || x == nullptr ||
      recipe.arguments[1].toDimVector().size() != 1) {
    return std::nullopt;
  }
  FuseStep step{fuse::Op::kNormalise, result, {x, 0}, std::nullopt, 1, {}};
  step.norm = {&recipe.statistics[0], &recipe.statistics[1], InputAt(recipe, 2),
               InputAt(recipe, 3)};
  return step;
}

std::optional<FuseOperand> OperandOf(const Recipe& recipe, uint32_t position) {
  if (const Recipe::Input* input = InputAt(recipe, position)) {
    return FuseOperand{input, 0};
  }
  if (const auto number = NumberOf(recipe.arguments[position])) {
    return FuseOperand{nullptr, *number};
  }
  return std::nullopt;
}

}  // namespace

std::optional<fuse::Dtype> FuseDtypeOf(const caffe2::TypeMeta& dtype) {
  switch (dtype.toScalarType()) {
    case c10::ScalarType::Float:
      return fuse::Dtype::kF32;
    case c10::ScalarType::BFloat16:
      return fuse::Dtype::kBf16;
    case c10::ScalarType::Half:
      return fuse::Dtype::kF16;
    case c10::ScalarType::Bool:
      return fuse::Dtype::kBool;
    default:
      return std::nullopt;
  }
}

bool IsPointwise(std::string_view op) { return FormOf(op) != nullptr; }

std::optional<FuseStep> FuseStepOf(const Recipe& recipe) {
  if (recipe.op->kind == RecordedOp::Kind::kLayerNorm) {
    const auto result = FuseDtypeOf(recipe.output.dtype);
    return result.has_value() ? LayerNormOf(recipe, *result) : std::nullopt;
  }
  const Form* form = recipe.op->pointwise ? FormOf(recipe.op->name) : nullptr;
  if (form == nullptr) return std::nullopt;
  const auto result = FuseDtypeOf(recipe.output.dtype);
  const auto a = OperandOf(recipe, 0);
  if (!result.has_value() || !a.has_value() || a->input == nullptr) {
    return std::nullopt;
  }
  FuseStep step{form->op, *result, *a, std::nullopt, 1, {}};
  if (form->op == fuse::Op::kGelu &&
      recipe.arguments[1].toStringRef() == "tanh") {
    step.op = fuse::Op::kGeluTanh;
  }
  if (form->binary) {
    step.b = OperandOf(recipe, 1);
    if (!step.b.has_value()) return std::nullopt;
  }
  if (form->alpha) {
    const auto alpha = NumberOf(recipe.arguments[2]);
    if (!alpha.has_value()) return std::nullopt;
    step.alpha = *alpha;
  }
  return step;
}

}  // namespace invact
