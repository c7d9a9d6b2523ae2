// What the job's own saved-tensor hooks are, and what they keep: read from
// their Python objects.
//
// Threads: any, without the GIL or with it: it is taken where it is needed, as
// the hooks themselves take it. Nothing throws.
#ifndef INVACT_PLUGIN_PYTHON_HOOK_PAYLOAD_H_
#define INVACT_PLUGIN_PYTHON_HOOK_PAYLOAD_H_

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <vector>

namespace invact {

// The tensors in what `hooks` packed: the payload itself, or the members of one
// that is a tuple or a list. None of a payload of another class.
std::vector<at::Tensor> PackedTensors(
    const torch::autograd::SavedVariableHooks& hooks) noexcept;

// Whether the hooks that stand on this thread now are those of
// torch.utils.checkpoint.
bool InCheckpointRegion() noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_PYTHON_HOOK_PAYLOAD_H_
