// Torch's own errors for a saved tensor that was written or detached in place.
#ifndef INVACT_PLUGIN_OBSERVE_VERSION_ERROR_H_
#define INVACT_PLUGIN_OBSERVE_VERSION_ERROR_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace invact {

// Raises what torch would raise on reading `tensor` back, in this torch's own
// words: it is made to find the same state. `own_output`: the tensor is the
// output `output_nr` of the node that reads it.
[[noreturn]] void ThrowWrittenInPlace(const at::Tensor& tensor, bool own_output,
                                      uint32_t output_nr, uint32_t expected);

// The same for `tensor`, an input of the node that reads it, that lost its
// history by `detach_()`.
[[noreturn]] void ThrowDetachedInPlace(const at::Tensor& tensor);

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_VERSION_ERROR_H_
