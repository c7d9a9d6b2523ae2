#include "plugin/observe/saved_hook.h"

#include <c10/core/GradMode.h>
#include <c10/core/Storage.h>

#include "plugin/observe/tensor_facts.h"
#include "plugin/observe/version_error.h"
#include "plugin/rebuild/rebuild.h"

namespace invact {

SavedHook::SavedHook(const at::Tensor& kept, const SaveTicket& ticket,
                     ValuePtr value)
    : kept_(kept.unsafeGetTensorImpl()),
      ticket_(ticket),
      version_(VersionOf(kept)),
      value_(std::move(value)) {
  c10::raw::weak_intrusive_ptr::incref(
      kept_->unsafe_storage().unsafeGetStorageImpl());
}

// Not the tensor's storage of now: the job may have given it another one.
SavedHook::~SavedHook() {
  auto* storage =
      static_cast<c10::StorageImpl*>(const_cast<void*>(ticket_.entry->storage));
  Recorder::Get().Drop(ticket_);
  if (value_.defined()) LetGo(*value_);
  c10::raw::weak_intrusive_ptr::decref(storage);
}

bool SavedHook::Read() const {
  Recorder::Get().Unpacked(ticket_.site);
  return kept_->version_counter().current_version() == version_;
}

at::Tensor SavedHook::call_unpack_hook() {
  at::Tensor kept(
      c10::intrusive_ptr<c10::TensorImpl,
                         c10::UndefinedTensorImpl>::reclaim_copy(kept_));
  if (!Read()) ThrowWrittenInPlace(kept, /*own_output=*/false, 0, version_);
  // Torch would put the reader's own history in place of the variable's.
  TORCH_CHECK(!c10::GradMode::is_enabled() || !kept.requires_grad(),
              "invact: a library reads what autograd saved in a way that is "
              "not known here; a backward of this backward needs "
              "INVACT_POLICY=none");
  return kept;
}

}  // namespace invact
