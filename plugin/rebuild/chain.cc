#include "plugin/rebuild/chain.h"

#include <ATen/ops/empty_strided.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "plugin/fuse/fused.h"
#include "plugin/rebuild/below_autograd.h"
#include "plugin/rebuild/fuse_step.h"
#include "plugin/rebuild/recorded_op.h"
#include "plugin/rebuild/rerun.h"

namespace invact {

namespace {

using fuse::Pattern;

bool Contiguous(const Layout& layout) {
  int64_t expected = 1;
  for (size_t i = layout.sizes.size(); i-- > 0;) {
    if (layout.sizes.size_at(i) == 1) continue;
    if (layout.sizes.stride_at(i) != expected) return false;
    expected *= layout.sizes.size_at(i);
  }
  return true;
}

int64_t Columns(const Layout& layout) {
  return layout.sizes.size() == 0 ? 1 : layout.sizes.sizes_arrayref().back();
}

// Whether a kernel finds the same element at the same place of both: laid out
// alike, or plain rows of the same length, as before and after a view.
bool SamePlaces(const Layout& a, const Layout& b) {
  if (a.sizes.sizes_arrayref() == b.sizes.sizes_arrayref()) {
    return a.sizes.strides_arrayref() == b.sizes.strides_arrayref();
  }
  return Contiguous(a) && Contiguous(b) && a.Elements() == b.Elements() &&
         Columns(a) == Columns(b);
}

// How `operand` of an op is broadcast, where the op's result has the places of
// `result`.
std::optional<Pattern> PatternOf(const Layout& operand, const Layout& result) {
  if (SamePlaces(operand, result)) return Pattern::kFull;
  if (!Contiguous(operand) || !Contiguous(result) ||
      operand.sizes.size() == 0) {
    return std::nullopt;
  }
  const int64_t elements = operand.Elements();
  if (elements == 1) return Pattern::kScalar;
  if (elements == Columns(operand) && elements == Columns(result)) {
    return Pattern::kPerColumn;
  }
  // As many as there are rows: no dimension of it is broadcast.
  if (Columns(operand) == 1 &&
      elements * Columns(result) == result.Elements()) {
    return Pattern::kPerRow;
  }
  return std::nullopt;
}

// Under the lock.
class Builder {
 public:
  explicit Builder(const Value& root)
      : shape_(root.recipe->output), device_(root.device) {}

  // Nothing where the value is no chain of ops that a kernel can have.
  std::optional<Chain> Build(const ValuePtr& root) {
    if (!StepFor(root, /*wanted=*/true)) return std::nullopt;
    const std::vector<fuse::Step>& steps = chain_.program.steps;
    // One op alone is PyTorch's own, but for the norm that has no reduction.
    if (steps.size() == 1 && steps[0].op != fuse::Op::kNormalise) {
      return std::nullopt;
    }
    return std::move(chain_);
  }

 private:
  using Operand = fuse::Operand;

  // Whether the recipe's output is read as it is, but for a view.
  bool ReadWhole(const Value& value, const Layout& layout) const {
    const Layout& made = value.recipe->output;
    return made.offset == layout.offset && made.dtype == layout.dtype &&
           SamePlaces(made, layout) && SamePlaces(layout, shape_);
  }
  static bool ToBeMade(const Value& value) {
    return value.recipe != nullptr && !value.Usable() && !value.rebuilt;
  }

  // The step that makes it, entered if need be. Where there is none the chain
  // is what it was.
  std::optional<Operand> StepFor(const ValuePtr& value, bool wanted) {
    if (const auto known = steps_.find(value.get()); known != steps_.end()) {
      return Operand::FromStep(known->second);
    }
    const size_t inputs = chain_.inputs.size();
    const size_t outputs = chain_.outputs.size();
    const size_t steps = chain_.program.steps.size();
    if (EnterStep(value, wanted || value->unread > 0)) {
      return Operand::FromStep(
          static_cast<int32_t>(chain_.program.steps.size()) - 1);
    }
    chain_.program.inputs.resize(inputs);
    chain_.inputs.resize(inputs);
    chain_.program.outputs.resize(outputs);
    chain_.outputs.resize(outputs);
    chain_.program.steps.resize(steps);
    std::erase_if(steps_, [&](const auto& entry) {
      return entry.second >= static_cast<int32_t>(steps);
    });
    return std::nullopt;
  }

  bool EnterStep(const ValuePtr& value, bool wanted) {
    const std::optional<FuseStep> step = FuseStepOf(*value->recipe);
    if (!step.has_value()) return false;
    fuse::Step made{step->op, step->result, {}, {}, step->alpha};
    const auto a = OperandFor(step->a, false);
    if (!a.has_value()) return false;
    made.a = *a;
    if (step->b.has_value()) {
      const auto b = OperandFor(*step->b, step->op == fuse::Op::kMaskScale);
      if (!b.has_value()) return false;
      made.b = *b;
    }
    fuse::Operand* const norm[] = {&made.mean, &made.rstd, &made.weight,
                                   &made.bias};
    for (size_t i = 0; i < step->norm.size(); ++i) {
      if (step->norm[i] == nullptr) continue;
      const auto& [position, input, layout] = *step->norm[i];
      const auto operand =
          input->Usable() ? InputFor(input, layout) : std::nullopt;
      if (!operand.has_value()) return false;
      *norm[i] = *operand;
    }
    const auto number = static_cast<int32_t>(chain_.program.steps.size());
    if (number >= static_cast<int32_t>(fuse::kMostSteps)) return false;
    chain_.program.steps.push_back(made);
    steps_.emplace(value.get(), number);
    if (!wanted) return true;
    chain_.program.outputs.push_back(number);
    chain_.outputs.push_back(value);
    return chain_.outputs.size() <= fuse::kMostOutputs;
  }

  std::optional<Operand> OperandFor(const FuseOperand& wanted, bool mask) {
    if (wanted.input == nullptr) return Operand::Immediate(wanted.number);
    const Layout& layout = wanted.input->layout;
    ValuePtr value = wanted.input->value;
    if (value->twin.defined() && !value->Usable()) value = value->twin;
    if (mask) return MaskFor(value, layout);
    if (ToBeMade(*value) && ReadWhole(*value, layout)) {
      if (const auto step = StepFor(value, /*wanted=*/false)) return step;
    }
    return InputFor(value, layout);
  }

  std::optional<Operand> InputFor(const ValuePtr& value, const Layout& layout) {
    const auto dtype = FuseDtypeOf(layout.dtype);
    const auto pattern = PatternOf(layout, shape_);
    if (!dtype.has_value() || !pattern.has_value() ||
        value->device != device_) {
      return std::nullopt;
    }
    return Enter({*dtype, *pattern}, value, layout);
  }

  // A mask that is held as bits is read as bits.
  std::optional<Operand> MaskFor(const ValuePtr& value, const Layout& layout) {
    if (!SamePlaces(layout, shape_)) return std::nullopt;
    if (!ToBeMade(*value) || value->recipe->op->function == nullptr) {
      return InputFor(value, layout);
    }
    const Recipe::Input& bits = value->recipe->inputs[0];
    return Enter({fuse::Dtype::kBit, Pattern::kFull}, bits.value, bits.layout);
  }

  std::optional<Operand> Enter(fuse::Input input, const ValuePtr& value,
                               const Layout& layout) {
    const auto known = std::find_if(
        chain_.inputs.begin(), chain_.inputs.end(), [&](const auto& one) {
          return one.first.get() == value.get() && one.second == layout;
        });
    const auto number = known - chain_.inputs.begin();
    if (known == chain_.inputs.end()) {
      if (chain_.inputs.size() >= fuse::kMostInputs) return std::nullopt;
      chain_.program.inputs.push_back(input);
      chain_.inputs.emplace_back(value, layout);
    }
    return Operand::FromInput(static_cast<int32_t>(number));
  }

  const Layout& shape_;
  const c10::Device device_;
  Chain chain_;
  std::unordered_map<const Value*, int32_t> steps_;
};

at::Tensor EmptyFor(const Value& value) {
  const Layout& layout = value.recipe->output;
  return at::empty_strided(layout.sizes.sizes_arrayref(),
                           layout.sizes.strides_arrayref(),
                           at::TensorOptions(value.device).dtype(layout.dtype));
}

}  // namespace

std::optional<Chain> BuildChain(const ValuePtr& value) {
  if (value->recipe == nullptr) return std::nullopt;
  return Builder(*value).Build(value);
}

c10::Storage ObtainFused(const ValuePtr& value) {
  if (!value->device.is_cuda()) return {};
  std::optional<Chain> chain;
  {
    std::lock_guard lock(RebuildLock());
    chain = BuildChain(value);
  }
  if (!chain.has_value()) return {};
  const fuse::FusedKernel* kernel =
      fuse::FindFused(chain->program, value->device);
  if (kernel == nullptr) return {};
  std::vector<at::Tensor> inputs, outputs;
  for (const auto& [input, layout] : chain->inputs) {
    inputs.push_back(layout.Over(Obtain(input)));
  }
  const BelowAutograd below;
  const c10::OptionalDeviceGuard device(value->device);
  for (const ValuePtr& output : chain->outputs) {
    outputs.push_back(EmptyFor(*output));
  }
  if (!fuse::Launch(*kernel, inputs, outputs)) return {};
  const c10::StreamId stream = CurrentStream(value->device);
  c10::Storage storage;
  Trash trash;
  std::lock_guard lock(RebuildLock());
  for (size_t i = 0; i < outputs.size(); ++i) {
    Value& made = *chain->outputs[i];
    if (&made == value.get()) storage = outputs[i].storage();
    if (made.unread == 0) continue;
    trash.storages.push_back(std::exchange(made.rebuilt, outputs[i].storage()));
    made.rebuilt_on = stream;
  }
  return storage;
}

}  // namespace invact
