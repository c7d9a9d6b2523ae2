#include "plugin/rebuild/value.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>

#include "plugin/observe/tensor_facts.h"

namespace invact {

Value::Value(const at::Tensor& tensor)
    : address(tensor.storage().getWeakStorageImpl()),
      bytes(static_cast<int64_t>(tensor.storage().nbytes())),
      counter(torch::autograd::impl::version_counter(tensor)),
      version(counter.current_version()),
      device(tensor.device()),
      stream(CurrentStream(device)),
      // A NumPy buffer, say, that its owner fills again for the next batch.
      foreign(!tensor.storage().resizable()) {}

void Value::release_resources() {
  recipe.reset();
  twin.reset();
  plan.reset();
  rebuilt = c10::Storage();
}

Plan::Leaf* Plan::LeafOf(const Value* value) {
  const auto found =
      std::find_if(leaves.begin(), leaves.end(),
                   [&](const Leaf& leaf) { return leaf.value.get() == value; });
  return found == leaves.end() ? nullptr : &*found;
}

bool Value::Usable() const {
  return !overwritten && address.use_count() > 0 &&
         counter.current_version() - version <= tolerated &&
         // A dead one's address is still there, and so are its fields.
         static_cast<int64_t>(address._unsafe_get_target()->nbytes()) == bytes;
}

void WeakValue::Set(Value* value) {
  if (value != nullptr) c10::raw::weak_intrusive_ptr::incref(value);
  if (value_ != nullptr) c10::raw::weak_intrusive_ptr::decref(value_);
  value_ = value;
}

ValuePtr WeakValue::Lock() const {
  return value_ == nullptr
             ? ValuePtr()
             : c10::weak_intrusive_ptr<Value>::reclaim_copy(value_).lock();
}

Trash::~Trash() {
  for (const auto& plan : plans) {
    for (const Plan::Leaf& leaf : plan->leaves) {
      Recorder::Get().Drop(leaf.ticket);
    }
  }
}

BriefLock& RebuildLock() noexcept {
  static auto* lock = new BriefLock;
  return *lock;
}

c10::StreamId CurrentStream(const c10::Device& device) {
  if (!device.is_cuda()) return 0;
  const c10::impl::VirtualGuardImpl guard(device.type());
  return guard.getStream(device).id();
}

}  // namespace invact
