// One saved tensor under our eyes: torch calls it to pack the tensor, to read
// it back, and destroys it when the node lets go. It keeps exactly what torch
// itself would have kept (SavedVariable's constructor): the variable, or, for a
// node's own output, its data without history, which would be a cycle.
//
// With hooks installed torch leaves out its check for in-place writes: it is
// made here, with torch's own words.
//
// Threads: torch calls one hook from one thread at a time; destruction may come
// on any thread, also after the interpreter is gone.
#ifndef INVACT_PLUGIN_OBSERVE_SAVED_HOOK_H_
#define INVACT_PLUGIN_OBSERVE_SAVED_HOOK_H_

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>

#include "plugin/observe/recorder.h"
#include "plugin/observe/storage_address.h"
#include "plugin/torch_compat.h"

namespace invact {

class SavedHook final : public torch::autograd::SavedVariableHooks {
 public:
  // `decline`: why the op that saves it was not substituted, or kNone.
  SavedHook(const at::Tensor& tensor, bool is_output, Reason decline);
  ~SavedHook() override;

  void call_pack_hook(const at::Tensor& tensor) override;
  at::Tensor call_unpack_hook() override;
  // Compiled autograd then reads the tensor itself.
  std::optional<std::pair<c10::SafePyObject, c10::SafePyObject>>
  retrieve_unpack_hook_data() const override {
    return std::nullopt;
  }

  // The variable itself is kept, as torch keeps what its node did not make.
  bool KeepsVariable() const { return !without_history_; }

  // Gives the tensor up to torch, as torch would have saved it.
  at::Tensor TakeBack();

 private:
  at::Tensor tensor_;
  uint32_t version_ = 0;
  uint32_t output_nr_ = 0;
  bool is_output_;
  bool without_history_ = false;
  Reason decline_;
  SaveTicket ticket_;
  StorageAddress address_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_SAVED_HOOK_H_
