#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <array>

#include "plugin/fuse/fused.h"
#include "plugin/fuse/source.h"
#include "plugin/log.h"

namespace invact::fuse {

namespace {

bool IsOf(const at::Tensor& tensor, Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return tensor.scalar_type() == at::kFloat;
    case Dtype::kBf16:
      return tensor.scalar_type() == at::kBFloat16;
    case Dtype::kF16:
      return tensor.scalar_type() == at::kHalf;
    case Dtype::kBool:
      return tensor.scalar_type() == at::kBool;
    case Dtype::kBit:
      return tensor.scalar_type() == at::kByte;
  }
  return false;
}

bool AlignedTo16(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

// What a call is: sizes, and which of the two kernels may run.
struct Plan {
  int64_t n = 0, cols = 1;
  bool vector = true;
};

// Whole tensors are walked in storage order: all must be laid out alike or be
// plain rows of one length, and plain where something is broadcast.
bool Fits(const FusedKernel& kernel, c10::ArrayRef<at::Tensor> inputs,
          c10::ArrayRef<at::Tensor> outputs, Plan* plan) {
  const Program& program = kernel.program;
  if (inputs.size() != program.inputs.size() ||
      outputs.size() != program.outputs.size()) {
    return false;
  }
  const at::Tensor& first = outputs[0];
  plan->n = first.numel();
  plan->cols = first.dim() == 0 ? 1 : first.size(-1);
  bool broadcast = false;
  for (const Input& input : program.inputs) {
    broadcast |= input.pattern == Pattern::kPerRow ||
                 input.pattern == Pattern::kPerColumn;
  }
  if (broadcast ? !first.is_contiguous()
                : !first.is_non_overlapping_and_dense()) {
    return false;
  }
  plan->vector = !broadcast || plan->cols % GroupOf(program) == 0;
  const auto whole = [&](const at::Tensor& tensor) {
    plan->vector &= AlignedTo16(tensor.const_data_ptr());
    if (tensor.sizes() == first.sizes()) {
      return tensor.strides() == first.strides();
    }
    return tensor.is_contiguous() && first.is_contiguous() &&
           tensor.numel() == plan->n && tensor.dim() > 0 &&
           tensor.size(-1) == plan->cols;
  };
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!IsOf(outputs[i], program.steps[program.outputs[i]].result) ||
        outputs[i].get_device() != kernel.device || !whole(outputs[i])) {
      return false;
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto& [dtype, pattern] = program.inputs[i];
    const at::Tensor& tensor = inputs[i];
    if (!IsOf(tensor, dtype) || tensor.get_device() != kernel.device) {
      return false;
    }
    int64_t wanted = 1;
    if (dtype == Dtype::kBit) {
      wanted = (plan->n + 7) / 8;
    } else if (pattern == Pattern::kFull) {
      if (!whole(tensor)) return false;
      continue;
    } else if (pattern == Pattern::kPerRow) {
      wanted = plan->cols == 0 ? 0 : plan->n / plan->cols;
    } else if (pattern == Pattern::kPerColumn) {
      wanted = plan->cols;
      plan->vector &= AlignedTo16(tensor.const_data_ptr());
    }
    if (tensor.numel() != wanted || !tensor.is_contiguous()) return false;
  }
  return true;
}

int Start(const FusedKernel& kernel, c10::ArrayRef<at::Tensor> inputs,
          c10::ArrayRef<at::Tensor> outputs, Plan plan) {
  std::array<const void*, kMostInputs + kMostOutputs> pointers;
  std::array<void*, kMostInputs + kMostOutputs + 2> parameters;
  size_t count = 0;
  for (const auto& tensors : {inputs, outputs}) {
    for (const at::Tensor& tensor : tensors) {
      pointers[count] = tensor.const_data_ptr();
      parameters[count] = &pointers[count];
      ++count;
    }
  }
  parameters[count] = &plan.n;
  parameters[count + 1] = &plan.cols;
  const at::Device device = outputs[0].device();
  const c10::DeviceGuard guard(device);
  const c10::impl::VirtualGuardImpl impl(device.type());
  const int64_t block =
      int64_t{kThreads} * (plan.vector ? GroupOf(kernel.program) : 1);
  return LaunchFunction(plan.vector ? kernel.vector : kernel.element,
                        (plan.n + block - 1) / block, kThreads,
                        impl.getStreamNativeHandle(impl.getStream(device)),
                        parameters.data());
}

}  // namespace

bool Launch(const FusedKernel& kernel, c10::ArrayRef<at::Tensor> inputs,
            c10::ArrayRef<at::Tensor> outputs) noexcept {
  try {
    Plan plan;
    if (!Fits(kernel, inputs, outputs, &plan)) return false;
    if (plan.n == 0) return true;
    if (plan.n / kThreads >= INT32_MAX) return false;
    const int error = Start(kernel, inputs, outputs, plan);
    if (error == 0) return true;
    SayTrouble("fuse-launch", "a fused kernel did not start (CUDA error " +
                                  std::to_string(error) +
                                  "); its ops run one by one");
  } catch (const std::exception& error) {
    SayTrouble("fuse-launch", error.what());
  }
  return false;
}

}  // namespace invact::fuse
