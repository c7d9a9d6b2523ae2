#include "plugin/observe/watched_hook.h"

#include <ATen/SavedTensorHooks.h>

#include "plugin/checkpoint/region.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/python/hook_payload.h"

namespace invact {

WatchedHook::~WatchedHook() {
  // Before the hooks let go of it.
  for (const Kept& kept : kept_) Recorder::Get().Drop(kept.ticket);
}

void WatchedHook::Packed(const at::Tensor& tensor) {
  if (!PlainTensor(tensor) || !PlainDispatch()) return;
  const SavedFacts saved = FactsOf(tensor, is_output_);
  const RegionPhase phase = t_region.phase;
  if (phase == RegionPhase::kInside) {
    if (at::SavedTensorDefaultHooks::get_tls_state().stack.size() == 1) {
      // Those of our region: asked for, not kept.
      if (!Countable(tensor, is_output_)) return;
      kept_.push_back(
          {Recorder::Get().SaveAs(saved, Reason::kNone, Claim::kAsked,
                                  Action::kCheckpoint),
           StorageAddress(tensor.storage())});
      return;
    }
    if (InCheckpointRegion()) t_region.nested = true;
  }
  const Reason decline =
      decline_ == Reason::kNone ? t_region.declined : decline_;
  const Claim claim =
      phase == RegionPhase::kAgain ? Claim::kHeld : Claim::kBoth;
  for (const at::Tensor& packed : PackedTensors(*hooks_)) {
    if (!PlainTensor(packed) || packed.device() != tensor.device()) continue;
    SavedFacts facts = FactsOf(packed, is_output_);
    const bool same = facts.storage == saved.storage;
    if (!Countable(same ? tensor : packed)) continue;
    facts.category = saved.category;
    kept_.push_back(
        {Recorder::Get().SaveAs(facts, decline, claim, Action::kKeep),
         StorageAddress(packed.storage())});
  }
  if (kept_.empty() && decline_ != Reason::kNone) {
    Recorder::Get().NoteDecline(saved.dtype, decline_);
  }
}

at::Tensor WatchedHook::call_unpack_hook() {
  for (const Kept& kept : kept_) Recorder::Get().Unpacked(kept.ticket.site);
  return hooks_->call_unpack_hook();
}

}  // namespace invact
