#include "plugin/observe/saved_hook.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include "plugin/observe/tensor_facts.h"
#include "plugin/observe/version_error.h"

namespace invact {

SavedHook::SavedHook(const at::Tensor&, bool is_output, Reason decline)
    : is_output_(is_output), decline_(decline) {}

SavedHook::~SavedHook() { Recorder::Get().Drop(ticket_); }

void SavedHook::call_pack_hook(const at::Tensor& tensor) {
  version_ = VersionOf(tensor);
  if (is_output_ && !tensor.is_leaf()) {
    tensor_ = tensor.tensor_data();
    without_history_ = true;
    output_nr_ = static_cast<uint32_t>(tensor.output_nr());
  } else {
    tensor_ = tensor;
  }
  address_ = StorageAddress(tensor.storage());
  ticket_ = Recorder::Get().Save(FactsOf(tensor, is_output_), decline_);
}

at::Tensor SavedHook::call_unpack_hook() {
  Recorder::Get().Unpacked(ticket_.site);
  if (VersionOf(tensor_) != version_) {
    ThrowWrittenInPlace(tensor_, without_history_, output_nr_, version_);
  }
  return tensor_;
}

at::Tensor SavedHook::TakeBack() {
  Recorder::Get().Drop(ticket_);
  ticket_ = {};
  // Hooks of the job get what torch gives them: no history.
  return without_history_ ? std::move(tensor_) : tensor_.detach();
}

}  // namespace invact
