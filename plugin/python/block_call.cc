#include "plugin/python/block_call.h"

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "plugin/checkpoint/region.h"
#include "plugin/log.h"
#include "plugin/observe/scope_stack.h"
#include "plugin/python/block_decline.h"
#include "plugin/python/block_effects.h"

namespace invact {

namespace {

// So many calls of a block are watched for effects.
constexpr int kWatchedCalls = 2;
// Saves of the block's inputs are numbered from here on, behind its own.
constexpr uint32_t kFirstInput = 2048;

PyObject* g_function = nullptr;  // torch.nn.Module._call_impl
VectorCall g_plain, g_scoped;
PyObject* g_checkpoint = nullptr;  // torch.utils.checkpoint.checkpoint
PyObject* g_options = nullptr;     // {"use_reentrant": False}

// What was found out about a block.
struct Note {
  int watched = 0;
  Reason reason = Reason::kNone;  // it is left alone from now on
  // As it was before the call whose effects were seen: the second forward of
  // that call is made from there.
  std::shared_ptr<const BlockState> before;
};
std::unordered_map<PyObject*, Note>& Notes() {
  static auto* notes = new std::unordered_map<PyObject*, Note>;
  return *notes;
}

// A call, packed in a tuple: names of the keywords or None, then the module and
// all arguments.
struct PackedCall {
  std::vector<PyObject*> arguments;
  size_t count;
  PyObject* keywords;
};

Ref Pack(PyObject* const* arguments, size_t total, PyObject* keywords) {
  Ref packed(g_python.PyTuple_New(static_cast<ptrdiff_t>(total) + 1));
  if (!packed) return packed;
  const auto set = [&](size_t place, PyObject* item) {
    g_python.PyTuple_SetItem(packed.get(), static_cast<ptrdiff_t>(place),
                             Ref::Share(item).Release());
  };
  set(0, keywords == nullptr ? g_python.none : keywords);
  for (size_t i = 0; i < total; ++i) set(i + 1, arguments[i]);
  return packed;
}

PackedCall Unpack(PyObject* packed) {
  PackedCall call;
  PyObject* names = g_python.PyTuple_GetItem(packed, 0);
  call.keywords = names == g_python.none ? nullptr : names;
  const ptrdiff_t size = g_python.PyTuple_Size(packed);
  for (ptrdiff_t i = 1; i < size; ++i) {
    call.arguments.push_back(g_python.PyTuple_GetItem(packed, i));
  }
  call.count = call.arguments.size();
  if (call.keywords != nullptr) {
    call.count -= static_cast<size_t>(g_python.PyTuple_Size(call.keywords));
  }
  return call;
}

PyObject* FirstForward(const PackedCall& call) {
  RegionScope region({RegionPhase::kInside});
  // Its own saves are numbered as without checkpointing.
  ScopeStack& stack = ScopeStack::OfThread();
  const size_t depth = stack.depth;
  if (depth > 0 && depth <= ScopeStack::kMaxDepth) {
    stack.Push(stack.frames[depth - 1].scope, 0);
  }
  PyObject* result =
      g_plain(g_function, call.arguments.data(), call.count, call.keywords);
  if (stack.depth > depth) stack.Pop();
  if (t_region.nested) {
    Notes()[call.arguments[0]].reason = Reason::kInCheckpointRegion;
  }
  return result;
}

PyObject* SecondForward(const PackedCall& call) {
  const RegionScope region({RegionPhase::kAgain});
  const auto note = Notes().find(call.arguments[0]);
  // Once: a copy of attributes is not to outlive the step.
  std::shared_ptr<const BlockState> before;
  if (note != Notes().end()) before = std::move(note->second.before);
  std::optional<BlockState> now;
  if (before != nullptr) {
    now = BlockState::Of(call.arguments[0]);
    before->Restore();
  }
  PyObject* result =
      g_scoped(g_function, call.arguments.data(), call.count, call.keywords);
  if (now.has_value()) {
    const KeepError keep;
    now->Restore();
  }
  return result;
}

// What torch.utils.checkpoint calls. It hands the tensors back; they are those
// of the packed call.
PyObject* OnCall(PyObject* packed, PyObject*) {
  const PackedCall call = Unpack(packed);
  return t_region.phase == RegionPhase::kOpening ? FirstForward(call)
                                                 : SecondForward(call);
}
MethodDef g_on_call = {"invact_block", OnCall, kMethodArguments, nullptr};

bool FindCheckpoint() {
  if (g_checkpoint != nullptr) return true;
  const Ref file(g_python.PyImport_ImportModule("torch.utils.checkpoint"));
  Ref function = file ? Attribute(file.get(), "checkpoint") : Ref();
  Ref options(g_python.PyDict_New());
  if (!function || !options ||
      g_python.PyDict_SetItemString(options.get(), "use_reentrant",
                                    g_python.false_) != 0) {
    g_python.PyErr_Clear();
    SayTrouble("checkpoint",
               "this torch has no torch.utils.checkpoint as "
               "known here; observing only");
    g_checkpointing.store(false);
    return false;
  }
  g_checkpoint = function.Release();
  g_options = options.Release();
  return true;
}

PyObject* Plain(PyObject* const* arguments, size_t count, PyObject* keywords) {
  return g_plain(g_function, arguments, count, keywords);
}

PyObject* Declined(PyObject* const* arguments, size_t count, PyObject* keywords,
                   Reason reason) {
  Region region;
  region.declined = reason;
  const RegionScope scope(region);
  return Plain(arguments, count, keywords);
}

// The function and the tensors, as torch.utils.checkpoint takes them.
Ref CheckpointArguments(const Ref& packed,
                        const std::vector<PyObject*>& tensors) {
  const Ref call(g_python.PyCFunction_NewEx(&g_on_call, packed.get(), nullptr));
  Ref all(call
              ? g_python.PyTuple_New(static_cast<ptrdiff_t>(tensors.size()) + 1)
              : nullptr);
  if (!all) return all;
  g_python.PyTuple_SetItem(all.get(), 0, Ref::Share(call.get()).Release());
  for (size_t i = 0; i < tensors.size(); ++i) {
    g_python.PyTuple_SetItem(all.get(), static_cast<ptrdiff_t>(i) + 1,
                             Ref::Share(tensors[i]).Release());
  }
  return all;
}

PyObject* Checkpointed(const Ref& all, PyObject* module) {
  Note& note = Notes()[module];
  std::shared_ptr<BlockState> before;
  if (note.watched < kWatchedCalls) {
    ++note.watched;
    before = std::make_shared<BlockState>(BlockState::Of(module));
  }
  ScopeStack& stack = ScopeStack::OfThread();
  if (stack.depth > 0 && stack.depth <= ScopeStack::kMaxDepth) {
    stack.frames[stack.depth - 1].next_save = kFirstInput;
  }
  PyObject* result;
  {
    const RegionScope region({RegionPhase::kOpening});
    result = g_python.PyObject_Call(g_checkpoint, all.get(), g_options);
  }
  if (before != nullptr && result != nullptr && before->Changed()) {
    Note& seen = Notes()[module];
    seen.reason = Reason::kSideEffects;
    seen.before = std::move(before);
  }
  return result;
}

}  // namespace

void PrepareBlockCalls(PyObject* call_impl, VectorCall plain,
                       VectorCall scoped) noexcept {
  g_function = call_impl;
  g_plain = plain;
  g_scoped = scoped;
}

PyObject* CallBlock(PyObject* const* arguments, size_t count,
                    PyObject* keywords, BlockPlan plan) {
  PyObject* module = arguments[0];
  Reason reason = Reason::kNone;
  Ref all;
  try {
    const auto note = Notes().find(module);
    if (plan == BlockPlan::kExcluded) {
      reason = Reason::kUserExcluded;
    } else if (note != Notes().end()) {
      reason = note->second.reason;
    }
    if (reason == Reason::kNone && FindCheckpoint()) {
      size_t total = count;
      if (keywords != nullptr) {
        total += static_cast<size_t>(g_python.PyTuple_Size(keywords));
      }
      std::vector<PyObject*> tensors;
      const CallVerdict verdict =
          JudgeCall(arguments, total, &reason, &tensors);
      if (verdict == CallVerdict::kCheckpoint) {
        all = CheckpointArguments(Pack(arguments, total, keywords), tensors);
        if (!all) g_python.PyErr_Clear();
      }
    }
  } catch (const std::exception& error) {
    SayTrouble("checkpoint-call",
               std::string("a block is not checkpointed: ") + error.what());
  }
  if (all) return Checkpointed(all, module);
  if (reason != Reason::kNone) {
    return Declined(arguments, count, keywords, reason);
  }
  return Plain(arguments, count, keywords);
}

void ForgetBlock(PyObject* module) noexcept { Notes().erase(module); }

}  // namespace invact
