// PyTorch's own kernel of an op at one autograd key, fetched before we stand
// in its place, so that everything we don't serve runs as if we weren't here.
#ifndef INVACT_PLUGIN_SUBSTITUTE_ORIGINAL_KERNEL_H_
#define INVACT_PLUGIN_SUBSTITUTE_ORIGINAL_KERNEL_H_

#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>

namespace invact {

struct OriginalKernel {
  c10::OperatorHandle op;
  c10::SafeKernelFunction kernel;

  void CallBoxed(c10::DispatchKeySet keys, torch::jit::Stack* stack) const {
    kernel.callBoxed(op, keys, stack);
  }
};

// Nothing when this torch has no such op or no kernel for it at that key.
std::optional<OriginalKernel> FetchOriginal(const c10::OperatorName& name,
                                            c10::DispatchKey key);

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_ORIGINAL_KERNEL_H_
