// What the account needs to know of a tensor, read without side effects.
#ifndef INVACT_PLUGIN_OBSERVE_TENSOR_FACTS_H_
#define INVACT_PLUGIN_OBSERVE_TENSOR_FACTS_H_

#include <ATen/core/Tensor.h>

#include "plugin/observe/recorder.h"

namespace invact {

// Whether a saved tensor counts at all and may get hooks of ours: false for
// parameters, views of them and buffers, for wrapped Python numbers, tensor
// subclasses, tensors without a storage, and while a dispatch mode or a
// functorch transform is active. `is_output`: the saving op made it.
bool Countable(const at::Tensor& tensor, bool is_output = false) noexcept;

// As TensorBase::_version, without its virtual call. Inference tensors have
// none: torch's error.
inline uint32_t VersionOf(const at::TensorBase& tensor) {
  return tensor.unsafeGetTensorImpl()->version_counter().current_version();
}

// No TorchDispatchMode, functorch transform or tracing on this thread.
bool PlainDispatch() noexcept;
// A strided tensor of torch's own class with a storage.
bool PlainTensor(const at::Tensor& tensor) noexcept;

// As Python shows it, without "torch.": "float32".
std::string_view DtypeName(c10::ScalarType dtype) noexcept;

// `is_output`: the saving op made it.
SavedFacts FactsOf(const at::Tensor& tensor, bool is_output) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_TENSOR_FACTS_H_
