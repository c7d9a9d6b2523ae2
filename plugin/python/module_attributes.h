// The dicts in which an nn.Module keeps what it is made of.
//
// Threads: with the GIL.
#ifndef INVACT_PLUGIN_PYTHON_MODULE_ATTRIBUTES_H_
#define INVACT_PLUGIN_PYTHON_MODULE_ATTRIBUTES_H_

#include <cstddef>

#include "plugin/python/python_api.h"

namespace invact {

// Interned, for ever.
struct ModuleAttributes {
  PyObject* modules;
  PyObject* parameters;
  PyObject* buffers;
};
inline const ModuleAttributes& AttributeNames() {
  static const ModuleAttributes names = {
      g_python.PyUnicode_InternFromString("_modules"),
      g_python.PyUnicode_InternFromString("_parameters"),
      g_python.PyUnicode_InternFromString("_buffers")};
  return names;
}

// Calls visit(key, value), both borrowed, for each item of module.<attribute>.
template <typename Visit>
void ForEach(PyObject* module, PyObject* attribute, Visit visit) {
  const Ref items = Attribute(module, attribute);
  if (!items) return;
  if (IsInstance(items.get(), g_python.dict_type)) {
    ptrdiff_t position = 0;
    PyObject *key, *value;
    while (g_python.PyDict_Next(items.get(), &position, &key, &value)) {
      if (value != g_python.none) visit(key, value);
    }
    return;
  }
  // A scripted module has its own kind of dict.
  const Ref list(g_python.PyMapping_Items(items.get()));
  const ptrdiff_t size = list ? g_python.PyList_Size(list.get()) : 0;
  for (ptrdiff_t i = 0; i < size; ++i) {
    PyObject* pair = g_python.PyList_GetItem(list.get(), i);
    PyObject* key = pair ? g_python.PyTuple_GetItem(pair, 0) : nullptr;
    PyObject* value = key ? g_python.PyTuple_GetItem(pair, 1) : nullptr;
    if (value != nullptr && value != g_python.none) visit(key, value);
  }
  g_python.PyErr_Clear();
}

}  // namespace invact

#endif  // INVACT_PLUGIN_PYTHON_MODULE_ATTRIBUTES_H_
