// One saved tensor in the care of hooks of the job's own (checkpointing,
// save_on_cpu, a debugger's): every call goes on to them. What counts is what
// they keep on the tensor's own device, as far as it can be seen: a tensor, or
// those in a tuple or list. So a region that is checkpointed counts nothing,
// hooks that pass tensors through count as if they were not there, and what was
// moved to the host is off the account.
//
// Threads: as for SavedHook.
#ifndef INVACT_PLUGIN_OBSERVE_WATCHED_HOOK_H_
#define INVACT_PLUGIN_OBSERVE_WATCHED_HOOK_H_

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <memory>
#include <vector>

#include "plugin/observe/recorder.h"
#include "plugin/observe/storage_address.h"

namespace invact {

class WatchedHook final : public torch::autograd::SavedVariableHooks {
 public:
  // `decline`: why the op that saves it was not substituted, or kNone.
  WatchedHook(std::unique_ptr<torch::autograd::SavedVariableHooks> hooks,
              bool is_output, Reason decline)
      : hooks_(std::move(hooks)), is_output_(is_output), decline_(decline) {}
  ~WatchedHook() override;

  // The job's hooks have packed the tensor.
  void Packed(const at::Tensor& tensor);

  void call_pack_hook(const at::Tensor& tensor) override {
    hooks_->call_pack_hook(tensor);
  }
  at::Tensor call_unpack_hook() override;
  std::optional<std::pair<c10::SafePyObject, c10::SafePyObject>>
  retrieve_unpack_hook_data() const override {
    return hooks_->retrieve_unpack_hook_data();
  }

 private:
  struct Kept {
    SaveTicket ticket;
    StorageAddress address;
  };
  std::unique_ptr<torch::autograd::SavedVariableHooks> hooks_;
  bool is_output_;
  Reason decline_;
  std::vector<Kept> kept_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_WATCHED_HOOK_H_
