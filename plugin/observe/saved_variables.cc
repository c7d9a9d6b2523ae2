#include "plugin/observe/saved_variables.h"

#include <dlfcn.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <algorithm>
#include <memory>
#include <typeinfo>
#include <utility>

#include "plugin/guard.h"
#include "plugin/observe/import_slot.h"
#include "plugin/observe/private_member.h"
#include "plugin/observe/saved_hook.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/observe/watched_hook.h"
#include "plugin/torch_compat.h"

namespace invact {

INVACT_PRIVATE_MEMBER(HooksMember, torch::autograd::SavedVariable,
                      std::unique_ptr<torch::autograd::SavedVariableHooks>,
                      hooks_)
INVACT_PRIVATE_MEMBER(DataMember, torch::autograd::SavedVariable, at::Tensor,
                      data_)

namespace {

using torch::autograd::SavedVariable;
using torch::autograd::SavedVariableHooks;
using HooksPtr = std::unique_ptr<SavedVariableHooks>;

constexpr char kConstructor[] =
    "_ZN5torch8autograd13SavedVariableC1ERKN2at6TensorEbb";
constexpr char kDefaultHooks[] =
    "_ZN5torch8autograd13SavedVariable17get_default_hooksEv";
constexpr char kRegisterHooks[] =
    "_ZN5torch8autograd13SavedVariable14register_hooksEOSt10unique_ptrINS0_"
    "18SavedVariableHooksESt14default_deleteIS3_EE";

// A constructor returns nothing in the Itanium ABI on the machines we build
// for.
using Constructor = void (*)(SavedVariable*, const at::Tensor&, bool, bool);
using DefaultHooks = HooksPtr (*)();
using RegisterHooks = void (*)(SavedVariable*, HooksPtr&&);
// Returned like the member's result, through a hidden pointer.
using Unpack = at::Tensor (*)(const SavedVariable*, NodePtr);
Constructor g_constructor;
DefaultHooks g_default_hooks;
RegisterHooks g_register_hooks;
Unpack g_unpack;

// The save that this thread's constructor call is making.
struct Saving {
  const at::Tensor* tensor;
  bool is_output;
};
thread_local Saving* t_saving = nullptr;
thread_local Reason t_pending_decline = Reason::kNone;

void ConstructSavedVariable(SavedVariable* self, const at::Tensor& tensor,
                            bool is_output, bool is_inplace_on_view) {
  if (!Active() || t_own_work > 0) {
    g_constructor(self, tensor, is_output, is_inplace_on_view);
    return;
  }
  Saving saving{&tensor, is_output};
  struct Restore {
    Saving* before;
    ~Restore() { t_saving = before; }
  } restore{std::exchange(t_saving, &saving)};
  g_constructor(self, tensor, is_output, is_inplace_on_view);
}

HooksPtr GetDefaultHooks() {
  HooksPtr of_the_job = g_default_hooks();
  const Saving* saving = t_saving;
  if (saving == nullptr) return of_the_job;
  const Reason reason = std::exchange(t_pending_decline, Reason::kNone);
  if (of_the_job != nullptr) {
    return std::make_unique<WatchedHook>(std::move(of_the_job),
                                         saving->is_output, reason);
  }
  if (!Countable(*saving->tensor, saving->is_output)) {
    if (reason != Reason::kNone) {
      Recorder::Get().NoteDecline(DtypeName(saving->tensor->scalar_type()),
                                  reason);
    }
    return nullptr;
  }
  return std::make_unique<SavedHook>(*saving->tensor, saving->is_output,
                                     reason);
}

SavedHook* OurHook(const SavedVariable* saved) {
  const HooksPtr& hooks = saved->*Get(HooksMember());
  // One class, never derived from: no need to search its bases.
  return hooks != nullptr && typeid(*hooks) == typeid(SavedHook)
             ? static_cast<SavedHook*>(hooks.get())
             : nullptr;
}

// With hooks torch would hand out a copy of the variable; without, it hands out
// the variable itself, and so do we where we keep it.
at::Tensor UnpackSavedVariable(const SavedVariable* self, NodePtr saved_for) {
  SavedHook* ours = OurHook(self);
  if (ours != nullptr && ours->KeepsVariable()) return ours->call_unpack_hook();
  return g_unpack(self, std::move(saved_for));
}

// Torch allows one pair of hooks. Ours steps back for the job's: the tensor is
// handed back first, as torch would have saved it.
void RegisterSavedVariableHooks(SavedVariable* self, HooksPtr&& hooks) {
  HooksPtr& current = self->*Get(HooksMember());
  if (SavedHook* ours = OurHook(self); ours != nullptr) {
    at::Tensor& data = self->*Get(DataMember());
    data = ours->TakeBack();
    current.reset();
    try {
      g_register_hooks(self, std::move(hooks));
    } catch (...) {
      data.reset();
      throw;
    }
    return;
  }
  g_register_hooks(self, std::move(hooks));
}

}  // namespace

void SetPendingDecline(Reason reason) noexcept { t_pending_decline = reason; }

bool ObserveSavedVariables(bool python, std::string* error) noexcept {
  void* torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
  if (torch == nullptr) {
    *error = "libtorch_cpu.so is not mapped";
    return false;
  }
  g_constructor = reinterpret_cast<Constructor>(dlsym(torch, kConstructor));
  g_default_hooks = reinterpret_cast<DefaultHooks>(dlsym(torch, kDefaultHooks));
  g_register_hooks =
      reinterpret_cast<RegisterHooks>(dlsym(torch, kRegisterHooks));
  g_unpack = reinterpret_cast<Unpack>(dlsym(torch, kUnpackSymbol));
  if (g_constructor == nullptr || g_default_hooks == nullptr ||
      g_register_hooks == nullptr || g_unpack == nullptr) {
    *error = "this torch has no torch::autograd::SavedVariable as known here";
    return false;
  }
  ImportPatch core[] = {
      {kConstructor, reinterpret_cast<void*>(ConstructSavedVariable)},
      {kDefaultHooks, reinterpret_cast<void*>(GetDefaultHooks)},
      {kUnpackSymbol, reinterpret_cast<void*>(UnpackSavedVariable)}};
  ImportPatch in_python[] = {
      {kConstructor, reinterpret_cast<void*>(ConstructSavedVariable)},
      {kRegisterHooks, reinterpret_cast<void*>(RegisterSavedVariableHooks)},
      {kUnpackSymbol, reinterpret_cast<void*>(UnpackSavedVariable)}};
  const auto all = [](const char* library, std::span<ImportPatch> patches) {
    return PatchImports(library, patches) &&
           std::all_of(
               patches.begin(), patches.end(),
               [](const ImportPatch& patch) { return patch.slots > 0; });
  };
  const bool patched = all("libtorch_cpu.so", core) &&
                       (!python || all("libtorch_python.so", in_python));
  if (!patched) {
    *error =
        "this build of torch binds its own functions at link time, so nothing "
        "can be observed in it";
  }
  return patched;
}

}  // namespace invact
