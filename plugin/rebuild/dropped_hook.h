// What torch destroys when a node lets go of a saved tensor that is not kept,
// and what tells that it is read.
//
// Threads: as for SavedHook.
#ifndef INVACT_PLUGIN_REBUILD_DROPPED_HOOK_H_
#define INVACT_PLUGIN_REBUILD_DROPPED_HOOK_H_

#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <memory>
#include <utility>

#include "plugin/rebuild/dropped.h"

namespace invact {

class DroppedHook final : public torch::autograd::SavedVariableHooks {
 public:
  explicit DroppedHook(std::shared_ptr<Dropped> dropped)
      : dropped_(std::move(dropped)) {}
  ~DroppedHook() override { dropped_->End(); }

  void call_pack_hook(const at::Tensor&) override {}
  at::Tensor call_unpack_hook() override { return dropped_->Read(); }
  std::optional<std::pair<c10::SafePyObject, c10::SafePyObject>>
  retrieve_unpack_hook_data() const override {
    return std::nullopt;
  }

  Dropped& dropped() const { return *dropped_; }

 private:
  std::shared_ptr<Dropped> dropped_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_DROPPED_HOOK_H_
