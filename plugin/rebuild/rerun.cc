#include "plugin/rebuild/rerun.h"

#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <mutex>
#include <utility>

#include "plugin/rebuild/below_autograd.h"
#include "plugin/rebuild/chain.h"
#include "plugin/rebuild/recorded_op.h"

namespace invact {

namespace {

// Memory that another stream's allocations are made from must not be given out
// again before this stream is done with it.
void UseOnThisStream(const Value& value, const c10::Storage& storage,
                     c10::StreamId stream) {
  if (value.stream == stream || !value.device.is_cuda()) return;
  const c10::impl::VirtualGuardImpl guard(value.device.type());
  guard.recordDataPtrOnStream(storage.data_ptr(),
                              guard.getStream(value.device));
}

at::Tensor Run(const Recipe& recipe) {
  torch::jit::Stack stack(recipe.arguments.begin(), recipe.arguments.end());
  for (const Recipe::Input& input : recipe.inputs) {
    stack[input.position] = input.layout.Over(Obtain(input.value));
  }
  if (recipe.op->function != nullptr) return recipe.op->function(stack);
  recipe.op->rerun->callBoxed(&stack);
  return std::move(stack[0]).toTensor();
}

// `afresh`: not its own storage where there is another way.
c10::Storage Obtain(const ValuePtr& value, bool afresh) {
  const c10::StreamId stream = CurrentStream(value->device);
  std::shared_ptr<const Recipe> recipe;
  ValuePtr twin;
  c10::Storage there;
  {
    std::lock_guard lock(RebuildLock());
    if (value->rebuilt && value->rebuilt_on == stream) return value->rebuilt;
    recipe = value->recipe;
    if (value->Usable() && !(afresh && recipe != nullptr)) {
      there = value->Take();
    }
    twin = value->twin;
  }
  if (there) {
    UseOnThisStream(*value, there, stream);
    return there;
  }
  if (twin.defined()) return Obtain(twin);
  TORCH_CHECK(
      recipe != nullptr,
      "invact: a tensor that a saved tensor is rebuilt from was written "
      "or resized by something that announced no write; "
      "INVACT_POLICY=observe runs this job without rebuilding");
  if (c10::Storage fused = ObtainFused(value)) return fused;
  const BelowAutograd below;
  const c10::OptionalDeviceGuard device(value->device);
  const at::Tensor made = Run(*recipe);
  TORCH_CHECK(Layout(made) == recipe->output &&
                  static_cast<int64_t>(made.storage().nbytes()) == value->bytes,
              "invact: ", recipe->op->name,
              " gave another layout when it was run again; "
              "INVACT_POLICY=observe runs this job without rebuilding");
  c10::Storage storage = made.storage();
  c10::Storage other;
  {
    std::lock_guard lock(RebuildLock());
    if (value->unread > 0) {
      other = std::exchange(value->rebuilt, storage);
      value->rebuilt_on = stream;
    }
  }
  return storage;
}

}  // namespace

c10::Storage Obtain(const ValuePtr& value) { return Obtain(value, false); }
c10::Storage ObtainAfresh(const ValuePtr& value) { return Obtain(value, true); }

c10::Storage CopyOf(const c10::Storage& storage) {
  const BelowAutograd below;
  const c10::OptionalDeviceGuard device(storage.device());
  const auto options = at::device(storage.device()).dtype(at::kByte);
  at::Tensor copy =
      at::empty({static_cast<int64_t>(storage.nbytes())}, options);
  copy.copy_(at::empty({0}, options).set_(storage));
  return copy.storage();
}

namespace {

// Not the value's own storage.
c10::Storage ObtainApart(const ValuePtr& value) {
  c10::Storage storage = Obtain(value);
  return storage.unsafeGetStorageImpl() == value->address._unsafe_get_target()
             ? CopyOf(storage)
             : storage;
}

}  // namespace

c10::Storage ObtainBeforeWrite(const ValuePtr& value) {
  if (CurrentStream(value->device) == value->stream) return ObtainApart(value);
  const c10::impl::VirtualGuardImpl guard(value->device.type());
  const c10::Stream writer = guard.getStream(value->device);
  const c10::Stream maker(c10::Stream::UNSAFE, value->device, value->stream);
  const c10::StreamGuard there(maker);
  c10::Storage storage = ObtainApart(value);
  void* event = nullptr;
  guard.record(&event, maker, value->device.index(),
               c10::EventFlag::PYTORCH_DEFAULT);
  guard.block(event, writer);
  guard.destroyEvent(event, value->device.index());
  return storage;
}

}  // namespace invact
