#include "plugin/python/python_api.h"

#include <dlfcn.h>

#include <cstring>

namespace invact {

PythonApi g_python{};

namespace {

// PyTypeObject: the offset of the vectorcall pointer in instances, unchanged
// since Python 3.8.
constexpr size_t kVectorCallOffsetInType = 56;

template <typename T>
bool Find(const char* name, T* target) {
  *target = reinterpret_cast<T>(dlsym(RTLD_DEFAULT, name));
  return *target != nullptr;
}

ptrdiff_t VectorCallOffset() {
  return *reinterpret_cast<ptrdiff_t*>(
      reinterpret_cast<char*>(g_python.function_type) +
      kVectorCallOffsetInType);
}

bool FreeThreaded() {
  Ref flags;
  if (PyObject* sys = ImportedModule("sys")) {
    flags = Attribute(sys, "abiflags");
  }
  return flags && TextOf(flags.get()).find('t') != std::string::npos;
}

}  // namespace

#define INVACT_FIND(name) (found = found && Find(#name, &name))

bool PythonApi::Load(std::string* error) noexcept {
  bool found = true;
  INVACT_FIND(Py_IncRef);
  INVACT_FIND(Py_DecRef);
  INVACT_FIND(Py_AddPendingCall);
  INVACT_FIND(PyErr_Clear);
  INVACT_FIND(PyErr_Fetch);
  INVACT_FIND(PyErr_Restore);
  INVACT_FIND(PyObject_Type);
  INVACT_FIND(PyObject_GetAttr);
  INVACT_FIND(PyObject_GetAttrString);
  INVACT_FIND(PyObject_SetAttrString);
  INVACT_FIND(PyObject_CallObject);
  INVACT_FIND(PyObject_Call);
  INVACT_FIND(PyObject_CallFunctionObjArgs);
  INVACT_FIND(PyGILState_Ensure);
  INVACT_FIND(PyGILState_Release);
  INVACT_FIND(PyType_IsSubtype);
  INVACT_FIND(PyImport_GetModuleDict);
  INVACT_FIND(PyDict_GetItemString);
  INVACT_FIND(PyImport_ImportModule);
  INVACT_FIND(PyDict_New);
  INVACT_FIND(PyDict_Copy);
  INVACT_FIND(PyDict_Update);
  INVACT_FIND(PyDict_GetItem);
  INVACT_FIND(PyDict_SetItemString);
  INVACT_FIND(PyDict_Next);
  INVACT_FIND(PyMapping_Items);
  INVACT_FIND(PyList_Size);
  INVACT_FIND(PyList_GetItem);
  INVACT_FIND(PyTuple_Size);
  INVACT_FIND(PyTuple_New);
  INVACT_FIND(PyTuple_SetItem);
  INVACT_FIND(PyTuple_GetItem);
  INVACT_FIND(PyUnicode_InternFromString);
  INVACT_FIND(PyUnicode_AsUTF8AndSize);
  INVACT_FIND(PyLong_FromVoidPtr);
  INVACT_FIND(PyLong_AsVoidPtr);
  INVACT_FIND(PyCFunction_NewEx);
  INVACT_FIND(PyWeakref_NewRef);
  found = found && Find("PyDict_Type", &dict_type) &&
          Find("PyTuple_Type", &tuple_type) &&
          Find("PyList_Type", &list_type) &&
          Find("PyFunction_Type", &function_type) &&
          Find("_Py_NoneStruct", &none) && Find("_Py_FalseStruct", &false_);
  if (!found) {
    *error = "this Python lacks a part of its C API";
    return false;
  }
  Find("PyFunction_SetVectorcall", &PyFunction_SetVectorcall);
  if (FreeThreaded()) {
    *error = "this Python is free-threaded";
    return false;
  }
  const Ref type(PyObject_Type(none));
  const ptrdiff_t offset = VectorCallOffset();
  if (type.get() != TypeOf(none) || offset < 16 || offset > 256) {
    *error = "this Python lays its objects out in an unknown way";
    return false;
  }
  ready = true;
  return true;
}

#undef INVACT_FIND

VectorCall* VectorCallSlot(PyObject* function) noexcept {
  return reinterpret_cast<VectorCall*>(reinterpret_cast<char*>(function) +
                                       VectorCallOffset());
}

Ref Attribute(PyObject* object, const char* name) {
  Ref value(g_python.PyObject_GetAttrString(object, name));
  if (!value) g_python.PyErr_Clear();
  return value;
}

Ref Attribute(PyObject* object, PyObject* name) {
  Ref value(g_python.PyObject_GetAttr(object, name));
  if (!value) g_python.PyErr_Clear();
  return value;
}

PyObject* ImportedModule(const char* name) {
  PyObject* modules = g_python.PyImport_GetModuleDict();
  return modules == nullptr ? nullptr
                            : g_python.PyDict_GetItemString(modules, name);
}

std::string TextOf(PyObject* text) {
  ptrdiff_t size = 0;
  const char* data = g_python.PyUnicode_AsUTF8AndSize(text, &size);
  if (data == nullptr) {
    g_python.PyErr_Clear();
    return "?";
  }
  return std::string(data, static_cast<size_t>(size));
}

std::string ClassName(PyObject* object) {
  const Ref name = Attribute(TypeOf(object), "__name__");
  return name ? TextOf(name.get()) : "?";
}

}  // namespace invact
