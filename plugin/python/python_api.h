// The Python C API as looked up in the running interpreter, so that one plugin
// file serves Python 3.10 to 3.14 and jobs without Python. Only plugin/python/
// uses it; Python.h is never included.
//
// Threads: Load once, with the GIL; every function only with the GIL. Object
// layouts that are read directly are checked by Load against the interpreter's
// own answers. A free-threaded interpreter is declined: nothing here is made
// for threads that run Python at the same time.
#ifndef INVACT_PLUGIN_PYTHON_PYTHON_API_H_
#define INVACT_PLUGIN_PYTHON_PYTHON_API_H_

#include <cstddef>
#include <string>
#include <utility>

struct _object;
using PyObject = _object;

namespace invact {

using VectorCall = PyObject* (*)(PyObject* callable, PyObject* const* arguments,
                                 size_t count_and_flags, PyObject* keywords);
using CFunction = PyObject* (*)(PyObject* self, PyObject* argument);
inline constexpr int kMethodNoArguments = 0x0004;  // METH_NOARGS
inline constexpr int kMethodArguments = 0x0001;    // METH_VARARGS
inline constexpr int kMethodOneArgument = 0x0008;  // METH_O

// PyMethodDef. Has to outlive the functions made from it.
struct MethodDef {
  const char* name;
  CFunction function;
  int flags;
  const char* doc;
};

struct PythonApi {
  void (*Py_IncRef)(PyObject*);
  void (*Py_DecRef)(PyObject*);
  int (*Py_AddPendingCall)(int (*)(void*), void*);
  void (*PyErr_Clear)();
  void (*PyErr_Fetch)(PyObject**, PyObject**, PyObject**);
  void (*PyErr_Restore)(PyObject*, PyObject*, PyObject*);
  PyObject* (*PyObject_Type)(PyObject*);
  PyObject* (*PyObject_GetAttr)(PyObject*, PyObject*);
  PyObject* (*PyObject_GetAttrString)(PyObject*, const char*);
  int (*PyObject_SetAttrString)(PyObject*, const char*, PyObject*);
  PyObject* (*PyObject_CallObject)(PyObject*, PyObject*);
  PyObject* (*PyObject_Call)(PyObject*, PyObject*, PyObject*);
  PyObject* (*PyObject_CallFunctionObjArgs)(PyObject*, ...);
  int (*PyGILState_Ensure)();
  void (*PyGILState_Release)(int);
  int (*PyType_IsSubtype)(PyObject*, PyObject*);
  PyObject* (*PyImport_GetModuleDict)();
  PyObject* (*PyDict_GetItemString)(PyObject*, const char*);
  PyObject* (*PyImport_ImportModule)(const char*);
  PyObject* (*PyDict_New)();
  PyObject* (*PyDict_Copy)(PyObject*);
  int (*PyDict_Update)(PyObject*, PyObject*);
  PyObject* (*PyDict_GetItem)(PyObject*, PyObject*);
  int (*PyDict_SetItemString)(PyObject*, const char*, PyObject*);
  int (*PyDict_Next)(PyObject*, ptrdiff_t*, PyObject**, PyObject**);
  PyObject* (*PyMapping_Items)(PyObject*);
  ptrdiff_t (*PyList_Size)(PyObject*);
  PyObject* (*PyList_GetItem)(PyObject*, ptrdiff_t);
  ptrdiff_t (*PyTuple_Size)(PyObject*);
  PyObject* (*PyTuple_New)(ptrdiff_t);
  int (*PyTuple_SetItem)(PyObject*, ptrdiff_t, PyObject*);  // takes the item
  PyObject* (*PyTuple_GetItem)(PyObject*, ptrdiff_t);
  PyObject* (*PyUnicode_InternFromString)(const char*);
  const char* (*PyUnicode_AsUTF8AndSize)(PyObject*, ptrdiff_t*);
  PyObject* (*PyLong_FromVoidPtr)(void*);
  void* (*PyLong_AsVoidPtr)(PyObject*);
  PyObject* (*PyCFunction_NewEx)(MethodDef*, PyObject*, PyObject*);
  PyObject* (*PyWeakref_NewRef)(PyObject*, PyObject*);
  // From Python 3.12 on; nullptr before.
  void (*PyFunction_SetVectorcall)(PyObject*, VectorCall);
  PyObject* dict_type;      // PyDict_Type
  PyObject* tuple_type;     // PyTuple_Type
  PyObject* list_type;      // PyList_Type
  PyObject* function_type;  // PyFunction_Type
  PyObject* none;
  PyObject* false_;
  bool ready;  // Load succeeded

  // False with the reason when this interpreter can't be served.
  bool Load(std::string* error) noexcept;
};

extern PythonApi g_python;

// The type of an object, borrowed. The layout is checked by Load.
inline PyObject* TypeOf(PyObject* object) {
  return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) +
                                       sizeof(ptrdiff_t));
}

inline bool IsInstance(PyObject* object, PyObject* type) {
  PyObject* own = TypeOf(object);
  return own == type || g_python.PyType_IsSubtype(own, type) != 0;
}

// Where a function keeps the pointer that a call of it goes through.
VectorCall* VectorCallSlot(PyObject* function) noexcept;

// One owned reference.
class Ref {
 public:
  Ref() = default;
  explicit Ref(PyObject* owned) : object_(owned) {}
  static Ref Share(PyObject* borrowed) {
    if (borrowed != nullptr) g_python.Py_IncRef(borrowed);
    return Ref(borrowed);
  }
  Ref(Ref&& other) noexcept : object_(other.Release()) {}
  Ref& operator=(Ref&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr) g_python.Py_DecRef(object_);
  }
  PyObject* get() const { return object_; }
  PyObject* Release() { return std::exchange(object_, nullptr); }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  PyObject* object_ = nullptr;
};

// Puts the error that was set before back, and drops those of ours.
class KeepError {
 public:
  KeepError() { g_python.PyErr_Fetch(&type_, &value_, &trace_); }
  ~KeepError() { g_python.PyErr_Restore(type_, value_, trace_); }
  KeepError(const KeepError&) = delete;
  KeepError& operator=(const KeepError&) = delete;

 private:
  PyObject *type_ = nullptr, *value_ = nullptr, *trace_ = nullptr;
};

// An attribute, or an empty Ref with no error left set.
Ref Attribute(PyObject* object, const char* name);
Ref Attribute(PyObject* object, PyObject* name);

// sys.modules[name], borrowed; nullptr when it was not imported.
PyObject* ImportedModule(const char* name);

std::string TextOf(PyObject* text);
std::string ClassName(PyObject* object);

}  // namespace invact

#endif  // INVACT_PLUGIN_PYTHON_PYTHON_API_H_
