#include "plugin/observe/tensor_facts.h"

#include <c10/core/ScalarType.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/variable.h>

#include <atomic>
#include <cstring>
#include <typeinfo>

#include "plugin/observe/private_member.h"
#include "plugin/observe/scope_stack.h"
#include "plugin/python/tensor_object.h"

namespace invact {

INVACT_PRIVATE_MEMBER(MetaMember, c10::TensorImpl,
                      std::unique_ptr<c10::AutogradMetaInterface>,
                      autograd_meta_)

namespace {

using c10::DispatchKey;
using torch::autograd::AutogradMeta;
using torch::autograd::DifferentiableViewMeta;

constexpr c10::DispatchKeySet kStrangeKeys({
    DispatchKey::Python,
    DispatchKey::PythonTLSSnapshot,
    DispatchKey::FuncTorchGradWrapper,
    DispatchKey::FuncTorchBatched,
    DispatchKey::Batched,
    DispatchKey::Functionalize,
    DispatchKey::FuncTorchDynamicLayerFrontMode,
    DispatchKey::FuncTorchDynamicLayerBackMode,
});
// Of tensors that are strange themselves, quantized or not strided.
constexpr c10::DispatchKeySet kUnusualKeys =
    kStrangeKeys | c10::DispatchKeySet({
                       DispatchKey::Quantized,
                       DispatchKey::Sparse,
                       DispatchKey::SparseCsr,
                       DispatchKey::NestedTensor,
                       DispatchKey::MkldnnCPU,
                   });

// What follows is read from the tensor's own fields: torch's functions for it
// are calls into other libraries and virtual, a good part of what a saved
// tensor costs.

// nullptr for a tensor that never met autograd.
const AutogradMeta* MetaOf(const c10::TensorImpl& impl) {
  return static_cast<const AutogradMeta*>((impl.*Get(MetaMember())).get());
}

// The tensor that this one is a view of to autograd, or nullptr.
const at::TensorBase* BaseOf(const AutogradMeta& meta) {
  if (!meta.is_view_) return nullptr;
  const auto& view = static_cast<const DifferentiableViewMeta&>(meta);
  return view.has_bw_view() ? &view.get_backward_view().base_ : nullptr;
}

bool IsLeaf(const AutogradMeta* meta) {
  return meta == nullptr || meta->grad_fn_ == nullptr;
}

const void* StorageOf(const c10::TensorImpl& impl) {
  return impl.unsafe_storage().unsafeGetStorageImpl();
}

// Of a leaf.
bool RequiresGrad(const AutogradMeta* meta) {
  if (meta == nullptr) return false;
  return meta->is_view_ ? meta->requires_grad() : meta->requires_grad_;
}

bool IsParameter(const c10::TensorImpl& impl, const AutogradMeta* meta) {
  return IsLeaf(meta) && RequiresGrad(meta) &&
         (IsParameterObject(impl) || IsPersistentStorage(StorageOf(impl)));
}

// name() builds a string, so a node's class is asked for its name once: the
// answer is kept beside the class's table of virtual functions, with which each
// node begins.
bool IsCast(const torch::autograd::Node& node) {
  static std::atomic<uintptr_t> answers[64];
  uintptr_t table;
  std::memcpy(&table, static_cast<const void*>(&node), sizeof(table));
  std::atomic<uintptr_t>& answer = answers[table / 64 % 64];
  const uintptr_t known = answer.load(std::memory_order_relaxed);
  if ((known & ~uintptr_t{1}) == table) return (known & 1) != 0;
  const bool cast = node.name() == "ToCopyBackward0";
  answer.store(table | (cast ? 1 : 0), std::memory_order_relaxed);
  return cast;
}

// autocast's cast of a parameter: its history is one conversion of a leaf.
// `meta` of a tensor that is no leaf.
bool IsCastOfParameter(const AutogradMeta* meta) {
  const at::TensorBase* base = BaseOf(*meta);
  if (base != nullptr) meta = MetaOf(*base->unsafeGetTensorImpl());
  if (meta == nullptr || meta->grad_fn_ == nullptr) return false;
  const torch::autograd::Node& node = *meta->grad_fn_;
  if (!IsCast(node) || node.num_outputs() != 1) return false;
  const auto& next = node.next_edge(0).function;
  return next != nullptr &&
         typeid(*next) == typeid(torch::autograd::AccumulateGrad);
}

}  // namespace

bool PlainDispatch() noexcept {
  // While a mode is on, torch keeps Python among these.
  return !c10::impl::tls_local_dispatch_key_set().included_.has_any(
      kStrangeKeys);
}

bool PlainTensor(const at::Tensor& tensor) noexcept {
  const auto* impl = tensor.unsafeGetTensorImpl();
  return !impl->key_set().has_any(kUnusualKeys) && impl->has_storage() &&
         !impl->has_symbolic_sizes_strides() &&
         (impl->device_type() == at::kCPU || impl->device_type() == at::kCUDA);
}

bool Countable(const at::Tensor& tensor, bool is_output) noexcept {
  const c10::TensorImpl& impl = *tensor.unsafeGetTensorImpl();
  if (impl.is_wrapped_number()) return false;
  if (!PlainTensor(tensor) || !PlainDispatch()) return false;
  const AutogradMeta* meta = MetaOf(impl);
  // What its node has just made is nobody's parameter or buffer; what the node
  // only wrote into (version > 0) or looks into may be.
  if (is_output && !tensor.is_inference() && VersionOf(tensor) == 0 &&
      (meta == nullptr || BaseOf(*meta) == nullptr)) {
    return true;
  }
  if (IsLeaf(meta)) {
    // A frozen weight or a buffer looks like a batch: ask the modules.
    return RequiresGrad(meta) ? !IsParameter(impl, meta)
                              : !IsPersistentStorage(StorageOf(impl));
  }
  // A view of a parameter is as much there as the parameter: linear saves
  // weight.t().
  const at::TensorBase* base = BaseOf(*meta);
  if (base == nullptr) return true;
  const c10::TensorImpl& of = *base->unsafeGetTensorImpl();
  return !IsParameter(of, MetaOf(of));
}

std::string_view DtypeName(c10::ScalarType dtype) noexcept {
  switch (dtype) {
    case c10::ScalarType::Float:
      return "float32";
    case c10::ScalarType::BFloat16:
      return "bfloat16";
    case c10::ScalarType::Half:
      return "float16";
    case c10::ScalarType::Double:
      return "float64";
    case c10::ScalarType::Bool:
      return "bool";
    case c10::ScalarType::Long:
      return "int64";
    case c10::ScalarType::Int:
      return "int32";
    case c10::ScalarType::Short:
      return "int16";
    case c10::ScalarType::Char:
      return "int8";
    case c10::ScalarType::Byte:
      return "uint8";
    case c10::ScalarType::ComplexFloat:
      return "complex64";
    case c10::ScalarType::ComplexDouble:
      return "complex128";
    default:
      return c10::toString(dtype);
  }
}

SavedFacts FactsOf(const at::Tensor& tensor, bool is_output) noexcept {
  const c10::TensorImpl& impl = *tensor.unsafeGetTensorImpl();
  const c10::Storage& storage = impl.unsafe_storage();
  SavedFacts facts;
  facts.storage = storage.unsafeGetStorageImpl();
  facts.data = storage.data();
  facts.bytes = static_cast<int64_t>(storage.nbytes());
  facts.dtype = tensor.scalar_type();
  facts.device = impl.device_type() == at::kCUDA ? impl.device().index() : -1;
  facts.category = Category::kActivation;
  if (!is_output) {
    const AutogradMeta* meta = MetaOf(impl);
    if (IsLeaf(meta)) {
      facts.category = Category::kInput;
    } else if (IsCastOfParameter(meta)) {
      facts.category = Category::kWeightCopy;
    }
  }
  return facts;
}

}  // namespace invact
