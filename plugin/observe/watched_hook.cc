#include "plugin/observe/watched_hook.h"

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
  for (const at::Tensor& packed : PackedTensors(*hooks_)) {
    if (!PlainTensor(packed) || packed.device() != tensor.device()) continue;
    SavedFacts facts = FactsOf(packed, is_output_);
    const bool same = facts.storage == saved.storage;
    if (!Countable(same ? tensor : packed)) continue;
    facts.category = saved.category;
    kept_.push_back({Recorder::Get().Save(facts, decline_),
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
