#include "plugin/python/hook_payload.h"

#include <ATen/SavedTensorHooks.h>

#include "plugin/python/python_api.h"
#include "plugin/python/tensor_object.h"

namespace invact {

namespace {

class Gil {
 public:
  Gil() : state_(g_python.PyGILState_Ensure()) {}
  ~Gil() { g_python.PyGILState_Release(state_); }
  Gil(const Gil&) = delete;
  Gil& operator=(const Gil&) = delete;

 private:
  int state_;
};

void Append(PyObject* object, std::vector<at::Tensor>* tensors) {
  if (!IsTensorObject(object)) return;
  at::Tensor tensor = TensorOf(object);
  if (tensor.defined()) tensors->push_back(std::move(tensor));
}

}  // namespace

std::vector<at::Tensor> PackedTensors(
    const torch::autograd::SavedVariableHooks& hooks) noexcept {
  std::vector<at::Tensor> tensors;
  if (!g_python.ready) return tensors;
  const Gil gil;
  const KeepError keep;
  const auto hook_and_data = hooks.retrieve_unpack_hook_data();
  if (!hook_and_data.has_value()) return tensors;
  const c10::SafePyObject& data = hook_and_data->second;
  PyObject* payload = data.ptr(&data.pyinterpreter());
  Append(payload, &tensors);
  if (IsInstance(payload, g_python.tuple_type)) {
    const ptrdiff_t size = g_python.PyTuple_Size(payload);
    for (ptrdiff_t i = 0; i < size; ++i) {
      Append(g_python.PyTuple_GetItem(payload, i), &tensors);
    }
  } else if (IsInstance(payload, g_python.list_type)) {
    const ptrdiff_t size = g_python.PyList_Size(payload);
    for (ptrdiff_t i = 0; i < size; ++i) {
      Append(g_python.PyList_GetItem(payload, i), &tensors);
    }
  }
  return tensors;
}

bool InCheckpointRegion() noexcept {
  const auto& state = at::SavedTensorDefaultHooks::get_tls_state();
  if (state.stack.empty() || !g_python.ready) return false;
  const Gil gil;
  const KeepError keep;
  const c10::SafePyObject& pack = state.stack.top().first;
  const Ref module = Attribute(pack.ptr(&pack.pyinterpreter()), "__module__");
  return module && TextOf(module.get()) == "torch.utils.checkpoint";
}

}  // namespace invact
