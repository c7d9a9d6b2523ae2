#include "plugin/digest/leaves.h"

#include <dlfcn.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "plugin/digest/digests.h"
#include "plugin/events/memory_events.h"
#include "plugin/guard.h"
#include "plugin/observe/import_slot.h"

namespace invact {

namespace {

using torch::autograd::AccumulateGrad;
using torch::autograd::variable_list;
using WeakTensor =
    c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;

constexpr char kApply[] =
    "_ZN5torch8autograd14AccumulateGrad5applyEOSt6vectorIN2at6TensorESaIS4_EE";

// What a process may have of them, some deep in a loop that makes tensors.
constexpr size_t kMostUnnamed = 65536;

using Apply = variable_list (*)(AccumulateGrad*, variable_list&&);
Apply g_apply;

constinit thread_local int t_nested = 0;

// The address of a leaf is its own as long as it is held weakly.
struct Named {
  WeakTensor leaf;
  std::string name;
};

struct Leaves {
  std::mutex mutex;
  std::vector<Named> named;                              // in order of naming
  std::unordered_map<c10::TensorImpl*, size_t> numbers;  // in `named`
  std::vector<WeakTensor> unnamed;                       // of this backward
  std::unordered_set<c10::TensorImpl*> accumulated;      // in this backward
};
Leaves& TheLeaves() {
  static auto* leaves = new Leaves;  // threads may outlive static objects
  return *leaves;
}

WeakTensor Weak(const at::Tensor& tensor) {
  return WeakTensor(tensor.getIntrusivePtr());
}

void Accumulated(const at::Tensor& leaf) {
  Leaves& leaves = TheLeaves();
  c10::TensorImpl* impl = leaf.unsafeGetTensorImpl();
  std::lock_guard lock(leaves.mutex);
  const bool named = leaves.numbers.contains(impl);
  if (!named && (t_nested > 0 || leaves.unnamed.size() >= kMostUnnamed)) return;
  if (!leaves.accumulated.insert(impl).second || named) return;
  leaves.unnamed.push_back(Weak(leaf));
}

void LabelGradient(const at::Tensor& leaf) {
  const at::Tensor& gradient = leaf.grad();
  if (!gradient.defined() || !gradient.is_cuda() || !gradient.has_storage()) {
    return;
  }
  LabelMemory(gradient.get_device(), gradient.storage().data(),
              MemoryCategory::kGradient);
}

variable_list ApplyAccumulateGrad(AccumulateGrad* self,
                                  variable_list&& gradients) {
  const bool any = !gradients.empty() && gradients[0].defined();
  variable_list out = g_apply(self, std::move(gradients));
  if (any && Active()) {
    if (Digesting()) Accumulated(self->variable);
    if (MemoryEventsWanted()) LabelGradient(self->variable);
  }
  return out;
}

// Drops the leaves that are gone.
void ForgetDead(Leaves* leaves) {
  std::vector<Named> alive;
  leaves->numbers.clear();
  for (Named& one : leaves->named) {
    if (one.leaf.expired()) continue;
    leaves->numbers[one.leaf._unsafe_get_target()] = alive.size();
    alive.push_back(std::move(one));
  }
  leaves->named = std::move(alive);
}

}  // namespace

bool WatchLeaves(std::string* error) noexcept {
  void* torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
  g_apply = torch == nullptr ? nullptr
                             : reinterpret_cast<Apply>(dlsym(torch, kApply));
  ImportPatch patch[] = {
      {kApply, reinterpret_cast<void*>(ApplyAccumulateGrad)}};
  if (g_apply == nullptr || !PatchImports("libtorch_cpu.so", patch) ||
      patch[0].slots == 0) {
    *error = "this build of torch hides AccumulateGrad::apply";
    return false;
  }
  return true;
}

void NameLeaf(const at::Tensor& tensor, const std::string& name) {
  Leaves& leaves = TheLeaves();
  c10::TensorImpl* impl = tensor.unsafeGetTensorImpl();
  std::lock_guard lock(leaves.mutex);
  if (leaves.numbers.contains(impl)) return;
  if (leaves.named.size() == leaves.named.capacity()) ForgetDead(&leaves);
  leaves.numbers[impl] = leaves.named.size();
  leaves.named.push_back({Weak(tensor), name});
}

NestedBackward::NestedBackward() noexcept { ++t_nested; }
NestedBackward::~NestedBackward() { --t_nested; }

std::vector<Leaf> TakeLeaves() {
  std::vector<Leaf> out;
  // Released after the lock: the last reference to one may ask for the GIL.
  std::vector<at::Tensor> passed_over;
  Leaves& leaves = TheLeaves();
  std::lock_guard lock(leaves.mutex);
  std::unordered_set<std::string> names;
  for (const Named& one : leaves.named) {
    at::Tensor tensor(one.leaf.lock());
    if (!tensor.defined()) continue;
    const bool accumulated =
        leaves.accumulated.contains(tensor.unsafeGetTensorImpl());
    if (!accumulated && !tensor.grad().defined()) {
      passed_over.push_back(std::move(tensor));
      continue;
    }
    // Two models alive may have had the same place, one after the other.
    std::string name = one.name;
    for (int i = 2; !names.insert(name).second; ++i) {
      name = one.name + " (" + std::to_string(i) + ")";
    }
    out.push_back({std::move(tensor), std::move(name), accumulated});
  }
  int number = 0;
  for (const WeakTensor& weak : leaves.unnamed) {
    ++number;
    at::Tensor tensor(weak.lock());
    if (!tensor.defined()) continue;
    out.push_back({std::move(tensor), "leaf " + std::to_string(number), true});
  }
  leaves.unnamed.clear();
  leaves.accumulated.clear();
  return out;
}

void ForgetAccumulations() noexcept {
  Leaves& leaves = TheLeaves();
  std::lock_guard lock(leaves.mutex);
  leaves.unnamed.clear();
  leaves.accumulated.clear();
}

}  // namespace invact
