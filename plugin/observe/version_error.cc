#include "plugin/observe/version_error.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/saved_variable.h>

#include "plugin/guard.h"
#include "plugin/observe/private_member.h"

namespace invact {

using torch::autograd::SavedVariable;

INVACT_PRIVATE_MEMBER(VersionMember, SavedVariable, uint32_t, saved_version_)
INVACT_PRIVATE_MEMBER(OutputNrMember, SavedVariable, uint32_t, output_nr_)
INVACT_PRIVATE_MEMBER(IsLeafMember, SavedVariable, bool, is_leaf_)
INVACT_PRIVATE_MEMBER(OriginalMember, SavedVariable, bool, saved_original_)

void ThrowWrittenInPlace(const at::Tensor& tensor, bool own_output,
                         uint32_t output_nr, uint32_t expected) {
  const OwnWork own;  // saved by torch's own code, without hooks
  SavedVariable saved(tensor, /*is_output=*/false);
  saved.*Get(VersionMember()) = expected;
  if (own_output) {
    saved.*Get(OriginalMember()) = false;
    saved.*Get(IsLeafMember()) = false;
    saved.*Get(OutputNrMember()) = output_nr;
  }
  saved.unpack(torch::autograd::get_current_node());
  // Only reached when the version came round to the expected one meanwhile.
  TORCH_CHECK(false,
              "one of the variables needed for gradient computation has been "
              "modified by an inplace operation");
}

void ThrowDetachedInPlace(const at::Tensor& tensor) {
  const OwnWork own;
  SavedVariable saved(tensor, /*is_output=*/false);
  saved.*Get(IsLeafMember()) = false;
  saved.unpack(nullptr);
  TORCH_CHECK(false, "a saved tensor was detached in place");  // has a history
}

}  // namespace invact
