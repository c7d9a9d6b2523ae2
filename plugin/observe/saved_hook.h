// One saved tensor under our eyes: what torch destroys when the node lets go of
// it, and what tells us that it is read. The tensor itself is kept by torch's
// SavedVariable, in torch's own way, whose hooks this becomes once it stands.
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
#include "plugin/rebuild/value.h"

namespace invact {

class SavedHook final : public torch::autograd::SavedVariableHooks {
 public:
  // `kept`: what the SavedVariable keeps, for as long as this lives. The hook
  // owns the ticket, and a weak reference to the storage: its address must not
  // be used again while the ledger knows it. `value`: of the kept storage, kept
  // for this; null where nothing is rebuilt.
  SavedHook(const at::Tensor& kept, const SaveTicket& ticket, ValuePtr value);
  ~SavedHook() override;

  // The SavedVariable is made, what it keeps is its own affair.
  void call_pack_hook(const at::Tensor&) override {}
  // By torch, for what the node made; whoever else asks gets its values.
  at::Tensor call_unpack_hook() override;
  // Compiled autograd then reads the tensor itself.
  std::optional<std::pair<c10::SafePyObject, c10::SafePyObject>>
  retrieve_unpack_hook_data() const override {
    return std::nullopt;
  }

  // Tells the Recorder of a read; false when the tensor was written since.
  bool Read() const;
  uint32_t version() const { return version_; }

 private:
  c10::TensorImpl* kept_;
  [[no_unique_address]] SaveTicket ticket_;
  uint32_t version_;
  ValuePtr value_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_SAVED_HOOK_H_
