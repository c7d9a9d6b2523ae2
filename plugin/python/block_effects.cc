#include "plugin/python/block_effects.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <unordered_set>

#include "plugin/guard.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/python/tensor_object.h"

namespace invact {

namespace {

template <typename Visit>
void ForEachValue(PyObject* dict, Visit visit) {
  ptrdiff_t position = 0;
  PyObject *key, *value;
  while (g_python.PyDict_Next(dict, &position, &key, &value)) visit(key, value);
}

Ref DictOf(PyObject* module, const char* name) {
  Ref dict = Attribute(module, name);
  return dict && IsInstance(dict.get(), g_python.dict_type) ? std::move(dict)
                                                            : Ref();
}

bool SameItems(PyObject* before, PyObject* now) {
  size_t items = 0, found = 0;
  ForEachValue(before, [&](PyObject* key, PyObject* value) {
    ++items;
    if (g_python.PyDict_GetItem(now, key) == value) ++found;
  });
  size_t items_now = 0;
  ForEachValue(now, [&](PyObject*, PyObject*) { ++items_now; });
  return found == items && items_now == items;
}

}  // namespace

std::vector<PyObject*> ModulesBelow(PyObject* module) {
  std::vector<PyObject*> found = {module};
  std::unordered_set<PyObject*> seen = {module};
  for (size_t i = 0; i < found.size(); ++i) {
    const Ref children = DictOf(found[i], "_modules");
    if (!children) continue;
    ForEachValue(children.get(), [&](PyObject*, PyObject* child) {
      if (child != g_python.none && seen.insert(child).second) {
        found.push_back(child);
      }
    });
  }
  return found;
}

BlockState BlockState::Of(PyObject* module) {
  const OwnWork own;
  const at::NoGradGuard no_grad;
  BlockState state;
  for (PyObject* one : ModulesBelow(module)) {
    for (const char* name : {"__dict__", "_buffers"}) {
      Ref dict = DictOf(one, name);
      if (!dict) continue;
      Ref copy(g_python.PyDict_Copy(dict.get()));
      if (!copy) {
        g_python.PyErr_Clear();
        continue;
      }
      state.dicts_.push_back({std::move(dict), std::move(copy)});
    }
    const Ref buffers = DictOf(one, "_buffers");
    if (!buffers) continue;
    ForEachValue(buffers.get(), [&](PyObject*, PyObject* value) {
      if (!IsTensorObject(value)) return;
      at::Tensor tensor = TensorOf(value);
      if (!tensor.defined() || !PlainTensor(tensor) || tensor.is_inference()) {
        return;
      }
      at::Tensor copy = tensor.variable_data().clone();
      const int64_t version = tensor._version();
      state.buffers_.push_back({std::move(tensor), std::move(copy), version});
    });
  }
  return state;
}

bool BlockState::Changed() const {
  return std::any_of(dicts_.begin(), dicts_.end(),
                     [](const Dict& one) {
                       return !SameItems(one.copy.get(), one.dict.get());
                     }) ||
         std::any_of(buffers_.begin(), buffers_.end(), [](const Buffer& one) {
           return one.tensor._version() != one.version;
         });
}

void BlockState::Restore() const {
  const OwnWork own;
  const at::NoGradGuard no_grad;
  for (const Buffer& one : buffers_) {
    one.tensor.variable_data().copy_(one.copy);
  }
  for (const Dict& one : dicts_) {
    if (g_python.PyDict_Update(one.dict.get(), one.copy.get()) != 0) {
      g_python.PyErr_Clear();
    }
  }
}

}  // namespace invact
