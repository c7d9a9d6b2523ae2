#include "plugin/observe/tensor_facts.h"

#include <c10/core/ScalarType.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/variable.h>

#include <typeinfo>

#include "plugin/observe/scope_stack.h"
#include "plugin/python/tensor_object.h"

namespace invact {

namespace {

using c10::DispatchKey;

const c10::DispatchKeySet& StrangeKeys() {
  static const c10::DispatchKeySet keys({
      DispatchKey::Python,
      DispatchKey::PythonTLSSnapshot,
      DispatchKey::FuncTorchGradWrapper,
      DispatchKey::FuncTorchBatched,
      DispatchKey::Batched,
      DispatchKey::Functionalize,
      DispatchKey::FuncTorchDynamicLayerFrontMode,
      DispatchKey::FuncTorchDynamicLayerBackMode,
  });
  return keys;
}

// As TensorBase::is_leaf and is_view, without their virtual calls, which are a
// tenth of what a saved tensor costs. Only a view's history may have to be made
// anew to be known.
bool IsView(const at::TensorBase& tensor) {
  const auto* meta = torch::autograd::impl::get_autograd_meta(tensor);
  return meta != nullptr && meta->is_view_ && tensor.is_view();
}
bool IsLeaf(const at::TensorBase& tensor) {
  const auto* meta = torch::autograd::impl::get_autograd_meta(tensor);
  if (meta == nullptr) return true;
  return meta->is_view_ ? tensor.is_leaf() : meta->grad_fn_ == nullptr;
}

bool IsParameter(const at::TensorBase& tensor) {
  if (!tensor.requires_grad() || !IsLeaf(tensor)) return false;
  return IsParameterObject(*tensor.unsafeGetTensorImpl()) ||
         IsPersistentStorage(tensor.storage().unsafeGetStorageImpl());
}

// A view of a parameter is as much there as the parameter: linear saves
// weight.t().
bool IsParameterOrView(const at::Tensor& tensor) {
  if (!IsView(tensor) || IsLeaf(tensor)) return IsParameter(tensor);
  return IsParameter(tensor._base());
}

// autocast's cast of a parameter: its history is one conversion of a leaf.
bool IsCastOfParameter(const at::Tensor& tensor) {
  if (IsLeaf(tensor)) return false;
  const at::TensorBase& whole = tensor;
  const at::TensorBase& source = IsView(tensor) ? tensor._base() : whole;
  const auto& node = source.grad_fn();
  if (node == nullptr || node->num_outputs() != 1) return false;
  const auto& next = node->next_edge(0).function;
  if (next == nullptr ||
      typeid(*next) != typeid(torch::autograd::AccumulateGrad)) {
    return false;
  }
  // Compared once per class of node: name() builds a string.
  static thread_local const std::type_info* cast_type = nullptr;
  const std::type_info& type = typeid(*node);
  if (cast_type != nullptr && type == *cast_type) return true;
  if (node->name() != "ToCopyBackward0") return false;
  cast_type = &type;
  return true;
}

}  // namespace

bool PlainDispatch() noexcept {
  if (c10::impl::TorchDispatchModeTLS::any_modes_set()) return false;
  const auto& local = c10::impl::tls_local_dispatch_key_set();
  return !local.included_.has_any(StrangeKeys());
}

bool PlainTensor(const at::Tensor& tensor) noexcept {
  const auto* impl = tensor.unsafeGetTensorImpl();
  return !tensor.key_set().has_any(StrangeKeys()) &&
         tensor.layout() == at::kStrided && impl->has_storage() &&
         !impl->has_symbolic_sizes_strides() &&
         (tensor.is_cpu() || tensor.is_cuda()) && !tensor.is_quantized() &&
         !tensor.is_nested();
}

bool Countable(const at::Tensor& tensor, bool is_output) noexcept {
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) return false;
  if (!PlainTensor(tensor) || !PlainDispatch()) return false;
  // What its node has just made is nobody's parameter or buffer; what the node
  // only wrote into (version > 0) or looks into may be.
  if (is_output && !tensor.is_inference() && VersionOf(tensor) == 0 &&
      !IsView(tensor)) {
    return true;
  }
  if (IsParameterOrView(tensor)) return false;
  // A frozen weight or a buffer looks like a batch: ask the modules.
  const bool outside_graph = !tensor.requires_grad() && IsLeaf(tensor);
  return !outside_graph ||
         !IsPersistentStorage(tensor.storage().unsafeGetStorageImpl());
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
  const c10::Storage& storage = tensor.storage();
  SavedFacts facts;
  facts.storage = storage.unsafeGetStorageImpl();
  facts.data = storage.data();
  facts.bytes = static_cast<int64_t>(storage.nbytes());
  facts.dtype = DtypeName(tensor.scalar_type());
  facts.device = tensor.is_cuda() ? tensor.get_device() : -1;
  if (is_output) {
    facts.category = Category::kActivation;
  } else if (IsLeaf(tensor)) {
    facts.category = Category::kInput;
  } else if (IsCastOfParameter(tensor)) {
    facts.category = Category::kWeightCopy;
  } else {
    facts.category = Category::kActivation;
  }
  return facts;
}

}  // namespace invact
