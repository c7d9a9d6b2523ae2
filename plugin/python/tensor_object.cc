#include "plugin/python/tensor_object.h"

#include <dlfcn.h>

#include <atomic>
#include <exception>

namespace invact {

namespace {

// THPVariable: the object's head, then the tensor; older versions put a flag
// of one word before it.
constexpr int kOffsets[] = {16, 24, 32};
constexpr int kUnchecked = -1, kByAttribute = 0;
int g_offset = kUnchecked;
std::atomic<PyObject*> g_parameter{nullptr};

c10::TensorImpl* PointerAt(PyObject* tensor, int offset) {
  return *reinterpret_cast<c10::TensorImpl**>(reinterpret_cast<char*>(tensor) +
                                              offset);
}

int FindOffset(PyObject* tensor) {
  const Ref cdata = Attribute(tensor, "_cdata");
  if (!cdata) return kByAttribute;
  const void* impl = g_python.PyLong_AsVoidPtr(cdata.get());
  if (impl == nullptr) {
    g_python.PyErr_Clear();
    return kByAttribute;
  }
  for (const int offset : kOffsets) {
    if (PointerAt(tensor, offset) == impl) return offset;
  }
  return kByAttribute;
}

// nullptr when attributes are to be asked.
c10::TensorImpl* ImplOf(PyObject* tensor) {
  if (g_offset == kUnchecked) g_offset = FindOffset(tensor);
  return g_offset == kByAttribute ? nullptr : PointerAt(tensor, g_offset);
}

bool OwnsNoMemory(const c10::TensorImpl& impl) {
  return impl.key_set().has_any(c10::DispatchKeySet(
      {c10::DispatchKey::Python, c10::DispatchKey::Functionalize}));
}

Ref Called(const Ref& object, const char* method) {
  const Ref bound = object ? Attribute(object.get(), method) : Ref();
  if (!bound) return Ref();
  Ref result(g_python.PyObject_CallObject(bound.get(), nullptr));
  if (!result) g_python.PyErr_Clear();
  return result;
}

void* NumberOf(const Ref& number) {
  if (!number) return nullptr;
  void* value = g_python.PyLong_AsVoidPtr(number.get());
  if (value == nullptr) g_python.PyErr_Clear();
  return value;
}

}  // namespace

bool IsTensorObject(PyObject* object) noexcept {
  // Torch fills this in while it is imported.
  static PyObject** tensor_class = [] {
    void* library = dlopen("libtorch_python.so", RTLD_LAZY | RTLD_NOLOAD);
    return library == nullptr
               ? nullptr
               : static_cast<PyObject**>(dlsym(library, "THPVariableClass"));
  }();
  return tensor_class != nullptr && *tensor_class != nullptr &&
         IsInstance(object, *tensor_class);
}

at::Tensor TensorOf(PyObject* tensor) noexcept {
  c10::TensorImpl* impl = ImplOf(tensor);
  if (impl == nullptr) return {};
  return at::Tensor(
      c10::intrusive_ptr<c10::TensorImpl,
                         c10::UndefinedTensorImpl>::reclaim_copy(impl));
}

const void* StorageOf(PyObject* tensor) noexcept {
  try {
    const c10::TensorImpl* impl = ImplOf(tensor);
    if (impl != nullptr) {
      if (OwnsNoMemory(*impl) || !impl->has_storage()) return nullptr;
      return impl->unsafe_storage().unsafeGetStorageImpl();
    }
    const Ref held = Ref::Share(tensor);
    const Ref storage = Called(held, "untyped_storage");
    return storage ? NumberOf(Attribute(storage.get(), "_cdata")) : nullptr;
  } catch (const std::exception&) {
    return nullptr;  // a tensor that refuses to show a storage has none
  }
}

bool IsParameterObject(const c10::TensorImpl& tensor) noexcept {
  PyObject* parameter = g_parameter.load(std::memory_order_acquire);
  if (parameter == nullptr) return true;
  PyObject* object = tensor.pyobj_slot()->load_pyobj();
  return object != nullptr && IsInstance(object, parameter);
}

void LearnParameterClass() noexcept {
  PyObject* module = ImportedModule("torch.nn.parameter");
  Ref type = module ? Attribute(module, "Parameter") : Ref();
  // For ever: tensors may be asked about until the process is gone.
  if (type) g_parameter.store(type.Release(), std::memory_order_release);
}

bool HasAttributes(const c10::TensorImpl& tensor) noexcept {
  PyObject* object = tensor.pyobj_slot()->load_pyobj();
  if (object == nullptr) return false;
  const Ref dict = Attribute(object, "__dict__");
  if (!dict || !IsInstance(dict.get(), g_python.dict_type)) return false;
  ptrdiff_t position = 0;
  PyObject *key, *value;
  return g_python.PyDict_Next(dict.get(), &position, &key, &value) != 0;
}

int64_t TensorBytes(PyObject* tensor) noexcept {
  try {
    const c10::TensorImpl* impl = ImplOf(tensor);
    if (impl != nullptr) {
      if (OwnsNoMemory(*impl)) return 0;
      return impl->numel() * static_cast<int64_t>(impl->itemsize());
    }
    return reinterpret_cast<int64_t>(NumberOf(Attribute(tensor, "nbytes")));
  } catch (const std::exception&) {
    return 0;  // symbolic sizes
  }
}

}  // namespace invact
