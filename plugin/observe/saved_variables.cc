#include "plugin/observe/saved_variables.h"

#include <c10/core/impl/LocalDispatchKeySet.h>
#include <dlfcn.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <algorithm>
#include <memory>
#include <typeinfo>
#include <utility>

#include "plugin/checkpoint/region.h"
#include "plugin/guard.h"
#include "plugin/observe/import_slot.h"
#include "plugin/observe/private_member.h"
#include "plugin/observe/saved_hook.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/observe/version_error.h"
#include "plugin/observe/watched_hook.h"
#include "plugin/python/tensor_object.h"
#include "plugin/rebuild/dropped_hook.h"
#include "plugin/rebuild/rebuild.h"
#include "plugin/torch_compat.h"

namespace invact {

INVACT_PRIVATE_MEMBER(HooksMember, torch::autograd::SavedVariable,
                      std::unique_ptr<torch::autograd::SavedVariableHooks>,
                      hooks_)
INVACT_PRIVATE_MEMBER(DataMember, torch::autograd::SavedVariable, at::Tensor,
                      data_)
INVACT_PRIVATE_MEMBER(KeptOriginalMember, torch::autograd::SavedVariable, bool,
                      saved_original_)
INVACT_PRIVATE_MEMBER(OfOutputMember, torch::autograd::SavedVariable, uint32_t,
                      output_nr_)
INVACT_PRIVATE_MEMBER(LeafMember, torch::autograd::SavedVariable, bool,
                      is_leaf_)
INVACT_PRIVATE_MEMBER(HistoryMember, torch::autograd::SavedVariable, NodePtr,
                      grad_fn_)

namespace {

using torch::autograd::SavedVariable;
using torch::autograd::SavedVariableHooks;
using HooksPtr = std::unique_ptr<SavedVariableHooks>;

constexpr char kConstructor[] =
    "_ZN5torch8autograd13SavedVariableC1ERKN2at6TensorEbb";
constexpr char kRegisterHooks[] =
    "_ZN5torch8autograd13SavedVariable14register_hooksEOSt10unique_ptrINS0_"
    "18SavedVariableHooksESt14default_deleteIS3_EE";
constexpr char kSaveMetadata[] =
    "_ZN5torch8autograd13SavedVariable13save_metadataERKN2at6TensorE";

// A constructor returns nothing in the Itanium ABI on the machines we build
// for.
using Constructor = void (*)(SavedVariable*, const at::Tensor&, bool, bool);
using RegisterHooks = void (*)(SavedVariable*, HooksPtr&&);
using SaveMetadata = void (*)(SavedVariable*, const at::Tensor&);
// Returned like the member's result, through a hidden pointer.
using Unpack = at::Tensor (*)(const SavedVariable*, NodePtr);
Constructor g_constructor;
RegisterHooks g_register_hooks;
SaveMetadata g_save_metadata;
Unpack g_unpack;

thread_local Reason t_pending_decline = Reason::kNone;

// What register_hooks does, but for the detached copy of the tensor that it
// makes for a pack hook: ours needs none.
void GiveHooks(SavedVariable* saved, HooksPtr hooks) {
  const at::Tensor data = std::move(saved->*Get(DataMember()));
  if (saved->*Get(KeptOriginalMember())) g_save_metadata(saved, data);
  saved->*Get(HooksMember()) = std::move(hooks);
}

// The tensor is rebuilt when it is read, or held by the hook until that is
// decided: torch lets go of it.
void Drop(SavedVariable* saved, const at::Tensor& tensor, bool is_output,
          std::shared_ptr<Dropped> dropped, bool planned) {
  // Where both are kept to be compared, nothing is saved.
  const bool kept = !planned || Recorder::Get().config().verify;
  SavedFacts facts = FactsOf(tensor, is_output);
  facts.storage = dropped->asked();
  dropped->Counted(Recorder::Get().SaveAs(
      facts, Reason::kNone, kept ? Claim::kBoth : Claim::kAsked,
      planned ? Action::kRebuild : Action::kKeep));
  GiveHooks(saved, std::make_unique<DroppedHook>(std::move(dropped)));
}

// What torch has just constructed in its own way gets a hook of ours, or its
// hooks of the job's are watched.
void Observe(SavedVariable* saved, const at::Tensor& tensor, bool is_output,
             Reason decline) {
  HooksPtr& hooks = saved->*Get(HooksMember());
  if (hooks != nullptr) {
    auto watched =
        std::make_unique<WatchedHook>(std::move(hooks), is_output, decline);
    WatchedHook& watch = *watched;
    hooks = std::move(watched);
    watch.Packed(tensor);
    return;
  }
  Recorder& recorder = Recorder::Get();
  if (!Countable(tensor, is_output)) {
    if (decline != Reason::kNone) {
      recorder.NoteDecline(tensor.scalar_type(), decline);
    }
    return;
  }
  const Region& region = t_region;
  if (decline == Reason::kNone) decline = region.declined;
  ValuePtr value;
  if (decline == Reason::kTensorSubclass) {
    value = KeepElsewhere(saved->*Get(DataMember()));
  } else if (Rebuilding() && region.phase == RegionPhase::kNone) {
    Packed packed = Pack(saved->*Get(DataMember()), is_output);
    if (packed.dropped != nullptr) {
      Drop(saved, tensor, is_output, std::move(packed.dropped), packed.planned);
      return;
    }
    if (decline == Reason::kNone) decline = packed.reason;
    value = std::move(packed.kept);
  }
  const bool opening = region.phase == RegionPhase::kOpening;
  const SaveTicket ticket =
      recorder.SaveAs(FactsOf(tensor, is_output), decline,
                      opening ? Claim::kHeld : Claim::kBoth,
                      opening ? Action::kCheckpoint : Action::kKeep);
  if (ticket.entry == nullptr) {
    if (value.defined()) LetGo(*value);
    return;
  }
  hooks = std::make_unique<SavedHook>(saved->*Get(DataMember()), ticket,
                                      std::move(value));
}

void ConstructSavedVariable(SavedVariable* self, const at::Tensor& tensor,
                            bool is_output, bool is_inplace_on_view) {
  if (!Active() || t_own_work > 0 || !tensor.defined()) {
    g_constructor(self, tensor, is_output, is_inplace_on_view);
    return;
  }
  const Reason decline = std::exchange(t_pending_decline, Reason::kNone);
  g_constructor(self, tensor, is_output, is_inplace_on_view);
  Observe(self, tensor, is_output, decline);
}

// By a function of the job's, with the GIL. What the job has hung on the tensor
// has to be there when it is read.
void ConstructInPython(SavedVariable* self, const at::Tensor& tensor,
                       bool is_output, bool is_inplace_on_view) {
  if (Rebuilding() && Active() && tensor.defined() &&
      HasAttributes(*tensor.unsafeGetTensorImpl())) {
    t_pending_decline = Reason::kTensorSubclass;
  }
  ConstructSavedVariable(self, tensor, is_output, is_inplace_on_view);
}

SavedHook* OurHook(const SavedVariable* saved) {
  const HooksPtr& hooks = saved->*Get(HooksMember());
  // One class, never derived from: no need to search its bases.
  return hooks != nullptr && typeid(*hooks) == typeid(SavedHook)
             ? static_cast<SavedHook*>(hooks.get())
             : nullptr;
}

Dropped* OurDropped(const SavedVariable* saved) {
  const HooksPtr& hooks = saved->*Get(HooksMember());
  return hooks != nullptr && typeid(*hooks) == typeid(DroppedHook)
             ? &static_cast<DroppedHook*>(hooks.get())->dropped()
             : nullptr;
}

// Torch finds the history of a variable that it keeps in the variable.
void CheckHistory(const SavedVariable* self, const at::Tensor& variable,
                  const NodePtr& saved_for) {
  if (!(self->*Get(LeafMember())) && saved_for == nullptr &&
      variable.grad_fn() == nullptr) {
    ThrowDetachedInPlace(variable);
  }
}

at::Tensor UnpackDropped(const SavedVariable* self, Dropped& dropped,
                         NodePtr saved_for) {
  Recorder::Get().Unpacked(dropped.ticket().site);
  if (self->*Get(KeptOriginalMember())) {
    const at::Tensor variable = dropped.Variable();
    if (variable.defined()) CheckHistory(self, variable, saved_for);
  }
  if (dropped.Written()) {
    const bool original = self->*Get(KeptOriginalMember());
    if (const at::Tensor variable = dropped.Variable();
        original && variable.defined()) {
      ThrowWrittenInPlace(variable, false, 0, dropped.version());
    }
    at::Tensor hollow = dropped.Hollow();
    const uint32_t output_nr = self->*Get(OfOutputMember());
    const NodePtr& history = self->*Get(HistoryMember());
    if (original && history != nullptr) {
      torch::autograd::impl::set_gradient_edge(hollow, {history, output_nr});
    }
    ThrowWrittenInPlace(hollow, !original, output_nr, dropped.version());
  }
  // Whoever has an input, or what was made of it, gets the same object.
  const bool original = self->*Get(KeptOriginalMember());
  if (original) {
    if (at::Tensor variable = dropped.ReadVariable(); variable.defined()) {
      return variable;
    }
    if (at::Tensor last = dropped.LastRead(); last.defined()) return last;
  }
  // Torch makes a variable of what it is given: no op of the program's.
  const c10::impl::ExcludeDispatchKeyGuard unseen(c10::DispatchKey::Python);
  at::Tensor read = g_unpack(self, std::move(saved_for));
  if (original) dropped.NoteRead(read);
  return read;
}

// With hooks torch would hand out a copy of the variable; without, it hands out
// the variable itself, and so do we where it is kept.
at::Tensor UnpackSavedVariable(const SavedVariable* self, NodePtr saved_for) {
  const SavedHook* ours = OurHook(self);
  if (ours == nullptr) {
    if (Dropped* dropped = OurDropped(self)) {
      return UnpackDropped(self, *dropped, std::move(saved_for));
    }
    return g_unpack(self, std::move(saved_for));
  }
  const at::Tensor& data = self->*Get(DataMember());
  const bool original = self->*Get(KeptOriginalMember());
  if (original) CheckHistory(self, data, saved_for);
  if (!ours->Read()) {
    ThrowWrittenInPlace(data, !original, self->*Get(OfOutputMember()),
                        ours->version());
  }
  return original ? data : g_unpack(self, std::move(saved_for));
}

// Torch allows one pair of hooks. Ours steps back for the job's: what is kept
// is then as if we had not been there.
void RegisterSavedVariableHooks(SavedVariable* self, HooksPtr&& hooks) {
  HooksPtr& ours = self->*Get(HooksMember());
  if (OurHook(self) != nullptr) {
    ours.reset();
  } else if (OurDropped(self) != nullptr) {
    self->*Get(DataMember()) = g_unpack(self, nullptr);
    ours.reset();
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
  g_register_hooks =
      reinterpret_cast<RegisterHooks>(dlsym(torch, kRegisterHooks));
  g_save_metadata = reinterpret_cast<SaveMetadata>(dlsym(torch, kSaveMetadata));
  g_unpack = reinterpret_cast<Unpack>(dlsym(torch, kUnpackSymbol));
  if (g_constructor == nullptr || g_register_hooks == nullptr ||
      g_save_metadata == nullptr || g_unpack == nullptr) {
    *error = "this torch has no torch::autograd::SavedVariable as known here";
    return false;
  }
  ImportPatch core[] = {
      {kConstructor, reinterpret_cast<void*>(ConstructSavedVariable)},
      {kUnpackSymbol, reinterpret_cast<void*>(UnpackSavedVariable)}};
  ImportPatch in_python[] = {
      {kConstructor, reinterpret_cast<void*>(ConstructInPython)},
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
