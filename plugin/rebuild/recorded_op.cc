#include "plugin/rebuild/recorded_op.h"

#include <ATen/SavedTensorHooks.h>
#include <c10/core/GradMode.h>
#include <torch/library.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "plugin/guard.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/rebuild/decide.h"
#include "plugin/rebuild/fuse_step.h"
#include "plugin/rebuild/rebuild.h"
#include "plugin/rebuild/value_table.h"
#include "plugin/substitute/custom_op_guard.h"
#include "plugin/substitute/original_kernel.h"
#include "plugin/substitute/quiet_registration.h"

namespace invact {

namespace {

using c10::DispatchKey;
using c10::IValue;
using torch::jit::Stack;
using Arguments = c10::SmallVector<IValue, 8>;

// Cheap for what they make, and the same bits whenever the inputs are the same.
constexpr const char* kPlainOps[] = {"abs",
                                     "add.Scalar",
                                     "add.Tensor",
                                     "addcmul",
                                     "bitwise_not",
                                     "clamp",
                                     "clamp_max",
                                     "clamp_min",
                                     "clone",
                                     "cos",
                                     "div.Scalar",
                                     "div.Tensor",
                                     "elu",
                                     "embedding",
                                     "eq.Scalar",
                                     "eq.Tensor",
                                     "erf",
                                     "exp",
                                     "expm1",
                                     "ge.Scalar",
                                     "ge.Tensor",
                                     "gelu",
                                     "glu",
                                     "gt.Scalar",
                                     "gt.Tensor",
                                     "hardshrink",
                                     "hardsigmoid",
                                     "hardswish",
                                     "hardtanh",
                                     "le.Scalar",
                                     "le.Tensor",
                                     "leaky_relu",
                                     "log",
                                     "log1p",
                                     "log_sigmoid_forward",
                                     "logical_not",
                                     "lt.Scalar",
                                     "lt.Tensor",
                                     "masked_fill.Scalar",
                                     "masked_fill.Tensor",
                                     "maximum",
                                     "minimum",
                                     "mish",
                                     "mul.Scalar",
                                     "mul.Tensor",
                                     "native_group_norm",
                                     "ne.Scalar",
                                     "ne.Tensor",
                                     "neg",
                                     "pow.Tensor_Scalar",
                                     "reciprocal",
                                     "relu",
                                     "rsqrt",
                                     "rsub.Scalar",
                                     "sigmoid",
                                     "silu",
                                     "sin",
                                     "softplus",
                                     "softshrink",
                                     "_softmax",
                                     "_log_softmax",
                                     "sqrt",
                                     "sub.Scalar",
                                     "sub.Tensor",
                                     "tanh",
                                     "threshold",
                                     "tril",
                                     "triu",
                                     "where.self"};

bool DefaultHooks() {
  return !at::SavedTensorDefaultHooks::get_tls_state().stack.empty();
}

// A Python number: nobody else has it, so nobody writes it.
bool IsNumber(const at::Tensor& tensor) {
  return tensor.unsafeGetTensorImpl()->is_wrapped_number();
}

// Of integers and Python's fractions alone torch makes the default dtype, which
// may be another one by the time of the backward.
bool OfTheDefaultDtype(const Arguments& arguments, const at::Tensor& output) {
  bool fraction = output.is_floating_point();
  for (const IValue& argument : arguments) {
    if (argument.isTensor() && argument.toTensor().defined()) {
      const at::Tensor& tensor = argument.toTensor();
      const bool integral =
          at::isIntegralType(tensor.scalar_type(), /*includeBool=*/true);
      if (!integral && !IsNumber(tensor)) return false;
      fraction = fraction || !integral;
    }
    fraction = fraction || argument.isDouble();
  }
  return fraction;
}

class Recording final : public c10::OperatorKernel {
 public:
  Recording(RecordedOp op, OriginalKernel original)
      : op_(std::move(op)), original_(std::move(original)) {}

  void operator()(const c10::OperatorHandle&, c10::DispatchKeySet keys,
                  Stack* stack) {
    const auto first = stack->end() - static_cast<ptrdiff_t>(op_.arguments);
    if (!Wanted(first, stack->end())) {
      original_.CallBoxed(keys, stack);
      return;
    }
    GuardNewOps();
    const Arguments arguments(first, stack->end());
    Frame frame;
    original_.CallBoxed(keys, stack);
    Record(arguments, *stack);
    frame.Decide();
  }

 private:
  template <typename Iterator>
  static bool Wanted(Iterator first, Iterator end) {
    if (!Rebuilding() || !Active() || t_own_work > 0 ||
        !c10::GradMode::is_enabled()) {
      return false;
    }
    // Small inputs make small outputs, but for a cast to a wider type and
    // broadcasts of two.
    const bool large = std::any_of(first, end, [](const IValue& argument) {
      if (!argument.isTensor()) return false;
      const at::Tensor& tensor = argument.toTensor();
      return tensor.defined() && PlainTensor(tensor) &&
             static_cast<int64_t>(tensor.nbytes()) * 4 >=
                 MinBytes(tensor.device());
    });
    return large && PlainDispatch() && !DefaultHooks();
  }

  void Record(const Arguments& arguments, const Stack& stack) {
    const auto outputs = stack.end() - static_cast<ptrdiff_t>(op_.returns);
    if (!outputs->isTensor()) return;
    const at::Tensor& output = outputs->toTensor();
    if (!output.defined() || !Describable(output)) return;
    const int64_t bytes =
        output.numel() * static_cast<int64_t>(output.itemsize());
    if (bytes < MinBytes(output.device()) || output.storage_offset() != 0 ||
        static_cast<int64_t>(output.storage().nbytes()) != bytes) {
      return;
    }
    if (op_.kind != RecordedOp::Kind::kCast &&
        OfTheDefaultDtype(arguments, output)) {
      return;
    }
    auto recipe = std::make_shared<Recipe>();
    recipe->op = &op_;
    recipe->arguments.assign(arguments.begin(), arguments.end());
    if (!Adapt(outputs, recipe.get())) return;
    Trash trash;
    std::lock_guard lock(RebuildLock());
    if (op_.kind == RecordedOp::Kind::kLayerNorm) {
      NoteStatistics(outputs, recipe.get(), &trash);
    }
    Enter(std::move(recipe), output, &trash);
  }

  template <typename Iterator>
  static void NoteStatistics(Iterator outputs, Recipe* recipe, Trash* trash) {
    for (uint32_t i = 1; i <= 2; ++i) {
      const at::Tensor& statistic = (outputs + i)->toTensor();
      if (!Describable(statistic)) return;
      ValuePtr value = RootValue(statistic, trash);
      if (!value.defined()) return;
      recipe->statistics.push_back({i, std::move(value), Layout(statistic)});
    }
  }

  // What dropout multiplied by: the CPU's kernel rounds it to the dtype of its
  // output, CUDA's does not. native_dropout_backward takes it as it is.
  static double DropoutScale(double p, const at::Tensor& output) {
    const double scale = 1.0 / (1.0 - p);
    const auto single = static_cast<float>(scale);
    if (!output.is_cpu()) return scale;
    switch (output.scalar_type()) {
      case at::kBFloat16:
        return static_cast<float>(c10::BFloat16(single));
      case at::kHalf:
        return static_cast<float>(c10::Half(single));
      default:
        return scale;
    }
  }

  // To what is run again. False where that would not give the same.
  template <typename Iterator>
  bool Adapt(Iterator outputs, Recipe* recipe) const {
    auto& arguments = recipe->arguments;
    switch (op_.kind) {
      case RecordedOp::Kind::kPlain:
      case RecordedOp::Kind::kCast:
      case RecordedOp::Kind::kLayerNorm:
        return true;
      case RecordedOp::Kind::kDropout: {
        const double p = arguments[1].toDouble();
        const bool off = arguments[2].isBool() && !arguments[2].toBool();
        if (off || !(p > 0 && p < 1)) return false;
        arguments[1] = *(outputs + 1);
        arguments[2] = DropoutScale(p, outputs->toTensor());
        return true;
      }
      case RecordedOp::Kind::kBatchNorm:
        if (arguments[5].toBool()) arguments[3] = arguments[4] = IValue();
        return true;
    }
    return false;
  }

  // Splits the arguments into values and constants. False where an argument is
  // not understood.
  static bool TakeInputs(const at::Tensor& output, Recipe* recipe,
                         Trash* trash) {
    for (uint32_t i = 0; i < recipe->arguments.size(); ++i) {
      IValue& argument = recipe->arguments[i];
      if (!argument.isTensor()) {
        const bool constant = argument.isNone() || argument.isScalar() ||
                              argument.isString() || argument.isDevice() ||
                              argument.isIntList() || argument.isDoubleList();
        if (constant) continue;
        return false;
      }
      const at::Tensor& tensor = argument.toTensor();
      if (!tensor.defined() || IsNumber(tensor)) continue;
      const bool there = tensor.device() == output.device() ||
                         (tensor.is_cpu() && tensor.dim() == 0);
      if (!there || !Describable(tensor) ||
          tensor.storage().is_alias_of(output.storage())) {
        return false;
      }
      ValuePtr value = RootValue(tensor, trash);
      if (!value.defined()) return false;
      recipe->inputs.push_back({i, std::move(value), Layout(tensor)});
    }
    return !recipe->inputs.empty();
  }

  void Enter(std::shared_ptr<Recipe> recipe, const at::Tensor& output,
             Trash* trash) const {
    const bool possible = TakeInputs(output, recipe.get(), trash);
    trash->recipes.push_back(recipe);
    if (!possible) return;
    recipe->output = Layout(output);
    for (Recipe::Input& input : recipe->inputs) {
      IValue argument =
          std::exchange(recipe->arguments[input.position], IValue());
      trash->arguments.push_back(std::move(argument));
    }
    int depth = 1;
    for (const Recipe::Input& input : recipe->inputs) {
      depth = std::max(depth, input.value->depth + 1);
    }
    if (depth > kMaxDepth) return;
    ValuePtr value = RootValue(output, trash);
    if (!value.defined()) return;
    // A root is no place to start from if it can be rebuilt.
    value->persistent = false;
    value->base = value->kept > 0;
    value->depth = static_cast<uint8_t>(depth);
    if (op_.kind == RecordedOp::Kind::kCast) {
      Value& source = *recipe->inputs[0].value;
      ValuePtr last = source.cast.Lock();
      if (last.defined() && last.get() != value.get() &&
          last->recipe != nullptr && Same(*last->recipe, *recipe)) {
        value->twin = std::move(last);
        trash->values.push_back(std::move(value));
        return;
      }
      if (last.defined()) trash->values.push_back(std::move(last));
      source.cast.Set(value.get());
    }
    value->recipe = std::move(recipe);
    trash->values.push_back(std::move(value));
  }

  // Whether two casts of the same value give the same tensor.
  static bool Same(const Recipe& a, const Recipe& b) {
    if (a.inputs.size() != 1 || b.inputs.size() != 1 ||
        a.inputs[0].value.get() != b.inputs[0].value.get() ||
        !(a.inputs[0].layout == b.inputs[0].layout) ||
        !(a.output == b.output)) {
      return false;
    }
    return true;
  }

  const RecordedOp op_;
  const OriginalKernel original_;
};

void StandBefore(torch::Library* library, DispatchKey key,
                 const std::string& name, RecordedOp::Kind kind,
                 const char* rerun = nullptr) {
  const size_t dot = name.find('.');
  const c10::OperatorName full(
      "aten::" + name.substr(0, dot),
      dot == std::string::npos ? "" : name.substr(dot + 1));
  auto original = FetchOriginal(full, key);
  TORCH_CHECK(original.has_value(), "no autograd kernel of ", name);
  const c10::FunctionSchema& schema = original->op.schema();
  RecordedOp op{name,
                kind,
                rerun == nullptr
                    ? original->op
                    : c10::Dispatcher::singleton().findSchemaOrThrow(rerun, ""),
                nullptr,
                schema.arguments().size(),
                schema.returns().size(),
                IsPointwise(name)};
  library->impl(name.c_str(), torch::CppFunction::makeFromBoxedFunctor(
                                  std::make_unique<Recording>(
                                      std::move(op), *std::move(original))));
}

}  // namespace

void InstallRecordedOps(bool cuda) {
  const QuietRegistration quiet;
  std::vector<DispatchKey> keys = {DispatchKey::AutogradCPU};
  if (cuda) keys.push_back(DispatchKey::AutogradCUDA);
  for (const DispatchKey key : keys) {
    // Registrations live as long as their library: for ever.
    auto* library = new torch::Library(torch::Library::IMPL, "aten", key,
                                       __FILE__, __LINE__);
    using Kind = RecordedOp::Kind;
    for (const char* name : kPlainOps) {
      StandBefore(library, key, name, Kind::kPlain);
    }
    StandBefore(library, key, "_to_copy", Kind::kCast);
    StandBefore(library, key, "native_dropout", Kind::kDropout,
                "aten::native_dropout_backward");
    StandBefore(library, key, "native_layer_norm", Kind::kLayerNorm);
    StandBefore(library, key, "native_batch_norm", Kind::kBatchNorm);
  }
}

}  // namespace invact
