#include "plugin/python/block_decline.h"

#include <ATen/SavedTensorHooks.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "plugin/observe/device_state.h"
#include "plugin/observe/graph_task.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/python/block_effects.h"
#include "plugin/python/hook_payload.h"
#include "plugin/python/tensor_object.h"

namespace invact {

namespace {

bool IsOf(PyObject* module, const char* file, const char* name) {
  PyObject* imported = ImportedModule(file);
  if (imported == nullptr) return false;
  const Ref type = Attribute(imported, name);
  return type && IsInstance(module, type.get());
}

// What this thread does around the call.
Reason WhyNotHere() {
  // A second forward of the job's own, reentrant checkpointing.
  if (InGraphTask()) return Reason::kInCheckpointRegion;
  if (!PlainDispatch()) return Reason::kDispatchMode;
  const auto& hooks = at::SavedTensorDefaultHooks::get_tls_state();
  if (!hooks.stack.empty()) {
    return InCheckpointRegion() ? Reason::kInCheckpointRegion
                                : Reason::kUserHooks;
  }
  if (hooks.disabled_error_message.has_value()) return Reason::kUserHooks;
  // Dynamo would compile the frames that we enter.
  if (PyObject* dynamo = ImportedModule("torch._C._dynamo.eval_frame")) {
    const Ref get = Attribute(dynamo, "get_eval_frame_callback");
    const Ref callback(get ? g_python.PyObject_CallObject(get.get(), nullptr)
                           : nullptr);
    if (!callback) g_python.PyErr_Clear();
    if (callback && callback.get() != g_python.none) {
      return Reason::kCompiledGraph;
    }
  }
  return Reason::kNone;
}

bool Filled(PyObject* module, const char* name) {
  const Ref dict = Attribute(module, name);
  if (!dict || !IsInstance(dict.get(), g_python.dict_type)) return false;
  ptrdiff_t position = 0;
  PyObject *key, *value;
  return g_python.PyDict_Next(dict.get(), &position, &key, &value) != 0;
}

// What the module is, or has hung on it.
Reason WhyNotModule(PyObject* module) {
  const Ref compiled = Attribute(module, "_compiled_call_impl");
  if ((compiled && compiled.get() != g_python.none) ||
      IsOf(module, "torch._dynamo.eval_frame", "OptimizedModule") ||
      IsOf(module, "torch.jit._script", "ScriptModule")) {
    return Reason::kCompiledGraph;
  }
  if (IsOf(module, "torch.distributed.fsdp", "FSDPModule") ||
      IsOf(module, "torch.distributed.fsdp", "FullyShardedDataParallel")) {
    return Reason::kTensorSubclass;
  }
  if (IsOf(module, "torch.nn.parallel.distributed",
           "DistributedDataParallel")) {
    return Reason::kSideEffects;
  }
  for (const char* hooks : {"_forward_hooks", "_forward_pre_hooks",
                            "_backward_hooks", "_backward_pre_hooks"}) {
    if (Filled(module, hooks)) return Reason::kSideEffects;
  }
  return Reason::kNone;
}

bool RequiresGrad(PyObject* object) {
  if (!IsTensorObject(object)) return false;
  const at::Tensor tensor = TensorOf(object);
  return tensor.defined() && tensor.requires_grad();
}

bool TrainsParameters(PyObject* module) {
  const Ref parameters = Attribute(module, "_parameters");
  if (!parameters || !IsInstance(parameters.get(), g_python.dict_type)) {
    return false;
  }
  ptrdiff_t position = 0;
  PyObject *key, *value;
  while (g_python.PyDict_Next(parameters.get(), &position, &key, &value)) {
    if (RequiresGrad(value)) return true;
  }
  return false;
}

// Of a class that no call can change.
bool Constant(PyObject* argument) {
  static constexpr std::string_view kBuiltin[] = {
      "NoneType", "bool", "int",   "float", "complex", "str",
      "bytes",    "type", "slice", "range", "ellipsis"};
  static constexpr std::string_view kOfTorch[] = {"dtype", "device", "layout",
                                                  "memory_format", "Size"};
  const Ref file = Attribute(TypeOf(argument), "__module__");
  if (!file) return false;
  const std::string from = TextOf(file.get());
  const std::string name = ClassName(argument);
  const auto among = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) !=
           std::end(names);
  };
  return from == "builtins" ? among(kBuiltin)
                            : from == "torch" && among(kOfTorch);
}

Reason WhyNotArgument(PyObject* argument, std::vector<PyObject*>* tensors) {
  if (IsTensorObject(argument)) {
    const at::Tensor tensor = TensorOf(argument);
    if (!tensor.defined() || !PlainTensor(tensor)) {
      return Reason::kTensorSubclass;
    }
    if (tensor.is_cuda() && StreamCaptured(tensor.device().index())) {
      return Reason::kGraphCapture;
    }
    tensors->push_back(argument);
    return Reason::kNone;
  }
  if (Constant(argument)) return Reason::kNone;
  // A cache, or a list that may grow by the call.
  if (!IsInstance(argument, g_python.tuple_type)) return Reason::kSideEffects;
  const ptrdiff_t size = g_python.PyTuple_Size(argument);
  for (ptrdiff_t i = 0; i < size; ++i) {
    const Reason reason =
        WhyNotArgument(g_python.PyTuple_GetItem(argument, i), tensors);
    if (reason != Reason::kNone) return reason;
  }
  return Reason::kNone;
}

}  // namespace

CallVerdict JudgeCall(PyObject* const* arguments, size_t total, Reason* reason,
                      std::vector<PyObject*>* tensors) {
  if (!c10::GradMode::is_enabled()) return CallVerdict::kPlain;
  const std::vector<PyObject*> modules = ModulesBelow(arguments[0]);
  *reason = WhyNotHere();
  for (size_t i = 0; i < modules.size() && *reason == Reason::kNone; ++i) {
    *reason = WhyNotModule(modules[i]);
  }
  for (size_t i = 1; i < total && *reason == Reason::kNone; ++i) {
    *reason = WhyNotArgument(arguments[i], tensors);
  }
  if (*reason != Reason::kNone) return CallVerdict::kDeclined;
  return std::any_of(tensors->begin(), tensors->end(), RequiresGrad) ||
                 std::any_of(modules.begin(), modules.end(), TrainsParameters)
             ? CallVerdict::kCheckpoint
             : CallVerdict::kPlain;
}

}  // namespace invact
