#include "plugin/python/module_scopes.h"

#include <dlfcn.h>

#include <exception>
#include <string>

#include "plugin/checkpoint/region.h"
#include "plugin/log.h"
#include "plugin/observe/scope.h"
#include "plugin/observe/scope_stack.h"
#include "plugin/python/block_call.h"
#include "plugin/python/module_names.h"
#include "plugin/python/python_api.h"
#include "plugin/python/tensor_object.h"

namespace invact {

namespace {

constexpr size_t kOffsetFlag = size_t{1} << (8 * sizeof(size_t) - 1);
constexpr char kHookName[] = "_log_api_usage_once";

VectorCall g_call_impl;  // the interpreter's own entry
bool g_installed = false;
bool g_failed = false;
PyObject* g_usage_original = nullptr;  // torch._C._log_api_usage_once
PyObject* g_usage_ours = nullptr;
PyObject* g_torch_c = nullptr;

// Python is about to end; the last exception's frames are still there.
PyObject* OnExit(PyObject*, PyObject*) {
  if (ScopesWanted()) ScopeFailed();
  g_python.Py_IncRef(g_python.none);
  return g_python.none;
}
MethodDef g_exit_method = {"invact_exit", OnExit, kMethodNoArguments, nullptr};

void WatchExit() {
  PyObject* module = ImportedModule("atexit");
  const Ref function(
      g_python.PyCFunction_NewEx(&g_exit_method, nullptr, nullptr));
  const Ref add = module ? Attribute(module, "register") : Ref();
  if (add && function) {
    const Ref registered(g_python.PyObject_CallFunctionObjArgs(
        add.get(), function.get(), nullptr));
  }
  g_python.PyErr_Clear();
}

void GiveUp(const std::string& why) noexcept {
  g_failed = true;
  SayTrouble("module-names", why + "; saved tensors are listed without layers");
}

// Bytes of the first tensor among the arguments after self.
int64_t FirstTensorBytes(PyObject* const* arguments, size_t count,
                         PyObject* keywords) noexcept {
  size_t total = count;
  if (keywords != nullptr) {
    // A tuple's size stands behind its head, as in every variable-sized object.
    total += static_cast<size_t>(
        *reinterpret_cast<ptrdiff_t*>(reinterpret_cast<char*>(keywords) + 16));
  }
  for (size_t i = 1; i < total; ++i) {
    if (IsTensorObject(arguments[i])) return TensorBytes(arguments[i]);
  }
  return 0;
}

// False: the call goes on without a scope of its own.
bool Enter(ScopeStack* stack, PyObject* const* arguments, size_t count,
           PyObject* keywords, BlockPlan* plan) noexcept {
  PyObject* module = arguments[0];
  try {
    ModuleNames& names = ModuleNames::Get();
    ModuleName name;
    if (stack->module == nullptr) {
      const KeepError keep;
      name = names.Outermost(module);
      stack->module_root = name.root;
    } else {
      name = names.Nested(module, static_cast<PyObject*>(stack->module),
                          stack->module_root);
    }
    stack->module = module;
    *plan = name.plan;
    stack->Push(name.scope,
                name.block ? FirstTensorBytes(arguments, count, keywords) : 0);
    return true;
  } catch (const std::exception& error) {
    GiveUp(error.what());
    return false;
  }
}

PyObject* CallImpl(PyObject* function, PyObject* const* arguments,
                   size_t count_and_flag, PyObject* keywords) {
  const size_t count = count_and_flag & ~kOffsetFlag;
  if (count == 0 || g_failed || !ScopesWanted()) {
    return g_call_impl(function, arguments, count_and_flag, keywords);
  }
  ScopeStack& stack = ScopeStack::OfThread();
  void* const caller = stack.module;
  const uint32_t root = stack.module_root;
  BlockPlan plan;
  if (!Enter(&stack, arguments, count, keywords, &plan)) {
    return g_call_impl(function, arguments, count_and_flag, keywords);
  }
  const bool block = plan != BlockPlan::kNone && Checkpointing() &&
                     t_region.phase == RegionPhase::kNone;
  PyObject* result =
      block ? CallBlock(arguments, count, keywords, plan)
            : g_call_impl(function, arguments, count_and_flag, keywords);
  if (result == nullptr) ScopeFailed();
  stack.Pop();
  stack.module = caller;
  stack.module_root = root;
  return result;
}

// Stands in for torch._C._log_api_usage_once, which nn.Module.__init__ calls
// first: no module can be called before one was made.
PyObject* OnApiUsage(PyObject*, PyObject* event) {
  {
    const KeepError keep;
    if (InstallModuleScopes()) {
      const Ref current = Attribute(g_torch_c, kHookName);
      if (current.get() == g_usage_ours &&
          g_python.PyObject_SetAttrString(g_torch_c, kHookName,
                                          g_usage_original) != 0) {
        g_python.PyErr_Clear();
      }
    }
  }
  return g_python.PyObject_CallFunctionObjArgs(g_usage_original, event,
                                               nullptr);
}
MethodDef g_usage_method = {kHookName, OnApiUsage, kMethodOneArgument, nullptr};

bool WaitForFirstModule(PyObject* torch_c) {
  g_torch_c = Ref::Share(torch_c).Release();
  g_usage_original = Attribute(torch_c, kHookName).Release();
  if (g_usage_original == nullptr) return false;
  g_usage_ours = g_python.PyCFunction_NewEx(&g_usage_method, nullptr, nullptr);
  if (g_usage_ours != nullptr &&
      g_python.PyObject_SetAttrString(torch_c, kHookName, g_usage_ours) == 0) {
    return true;
  }
  g_python.PyErr_Clear();
  return false;
}

// Runs on Python's main thread, between two of its instructions.
int PrepareLater(void*) {
  const KeepError keep;
  PyObject* torch_c = ImportedModule("torch._C");
  if (!InstallModuleScopes() &&
      (torch_c == nullptr || !WaitForFirstModule(torch_c))) {
    GiveUp("this torch does not tell of its first module");
  }
  return 0;
}

}  // namespace

bool InstallModuleScopes() noexcept {
  if (g_installed || g_failed) return true;
  PyObject* file = ImportedModule("torch.nn.modules.module");
  const Ref type = file ? Attribute(file, "Module") : Ref();
  if (!type) return false;
  Ref function = Attribute(type.get(), "_call_impl");
  if (!function || TypeOf(function.get()) != g_python.function_type) {
    GiveUp("torch.nn.Module has no _call_impl as known here");
    return true;
  }
  VectorCall* slot = VectorCallSlot(function.get());
  Dl_info info;
  if (*slot == nullptr || dladdr(reinterpret_cast<void*>(*slot), &info) == 0) {
    GiveUp("this Python lays its functions out in an unknown way");
    return true;
  }
  g_call_impl = *slot;
  if (g_python.PyFunction_SetVectorcall != nullptr) {
    g_python.PyFunction_SetVectorcall(function.get(), CallImpl);
  } else {
    *slot = CallImpl;
  }
  PrepareBlockCalls(function.get(), g_call_impl, CallImpl);
  LearnParameterClass();
  WatchExit();
  function.Release();  // for ever: it points at us
  g_installed = true;
  return true;
}

void PrepareModuleScopes(void* torch_c) noexcept {
  std::string error;
  if (!g_python.Load(&error)) {
    GiveUp(error);
    return;
  }
  const KeepError keep;
  if (InstallModuleScopes()) return;
  auto* module = static_cast<PyObject*>(torch_c);
  if (module == nullptr) module = ImportedModule("torch._C");
  if (module != nullptr) {
    if (!WaitForFirstModule(module)) {
      GiveUp("this torch does not tell of its first module");
    }
  } else if (g_python.Py_AddPendingCall(PrepareLater, nullptr) != 0) {
    GiveUp("Python takes no pending call");
  }
}

}  // namespace invact
