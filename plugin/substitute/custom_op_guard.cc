#include "plugin/substitute/custom_op_guard.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "plugin/log.h"
#include "plugin/substitute/write_notice.h"
#include "plugin/substitute/written_arguments.h"

namespace invact {

std::atomic<bool> g_ops_to_guard{false};

namespace {

using c10::DispatchKey;
using c10::DispatchKeySet;

struct Change {
  c10::OperatorName name;
  bool defined;  // false: gone
};
struct Noted {
  std::mutex mutex;
  std::vector<Change> changes;
};
Noted& NotedOps() {
  static auto* noted = new Noted;
  return *noted;
}

class Listener final : public c10::OpRegistrationListener {
  void onOperatorRegistered(const c10::OperatorHandle& op) override {
    Note(op, true);
  }
  void onOperatorDeregistered(const c10::OperatorHandle& op) override {
    Note(op, false);
  }

  static void Note(const c10::OperatorHandle& op, bool defined) {
    const c10::OperatorName& name = op.operator_name();
    if (name.name.rfind("aten::", 0) == 0) return;
    if (!op.schema().is_mutable() && WrittenByCollective(op.schema()).empty()) {
      return;
    }
    std::lock_guard lock(NotedOps().mutex);
    NotedOps().changes.push_back({name, defined});
    g_ops_to_guard.store(true, std::memory_order_relaxed);
  }
};

class Guard final : public c10::OperatorKernel {
 public:
  // The schema is asked at each call: an op may be defined anew.
  void operator()(const c10::OperatorHandle& op, DispatchKeySet keys,
                  torch::jit::Stack* stack) {
    if (WritesMatter()) {
      ForEachWritten(*stack, WrittenArguments(op.schema()), BeforeCountedWrite);
      ForEachWritten(*stack, WrittenByCollective(op.schema()), BeforeWrite);
    }
    op.redispatchBoxed(keys & DispatchKeySet(DispatchKeySet::FULL_AFTER,
                                             DispatchKey::BackendSelect),
                       stack);
  }
};

std::unique_ptr<torch::Library> Install(const c10::OperatorName& name) {
  const size_t colons = name.name.find("::");
  if (colons == std::string::npos) return nullptr;
  const auto op = c10::Dispatcher::singleton().findSchema(name);
  if (!op.has_value() ||
      op->hasKernelForDispatchKey(DispatchKey::BackendSelect)) {
    return nullptr;
  }
  auto library = std::make_unique<torch::Library>(
      torch::Library::IMPL, name.name.substr(0, colons),
      DispatchKey::BackendSelect, __FILE__, __LINE__);
  std::string overload = name.name.substr(colons + 2);
  if (!name.overload_name.empty()) overload += "." + name.overload_name;
  library->impl(overload.c_str(), torch::CppFunction::makeFromBoxedFunctor(
                                      std::make_unique<Guard>()));
  return library;
}

}  // namespace

void WatchForOps() {
  // For ever: taking it back would need torch alive at the end.
  new c10::RegistrationHandleRAII(
      c10::Dispatcher::singleton().addRegistrationListener(
          std::make_unique<Listener>()));
}

void GuardOps() noexcept {
  // A guard without its op would show as an op without a schema: it goes with
  // it. Those left stand for ever.
  using Guards = std::map<std::pair<std::string, std::string>,
                          std::unique_ptr<torch::Library>>;
  static auto* guards = new Guards;
  static auto* guarding = new std::mutex;
  std::lock_guard one_at_a_time(*guarding);
  std::vector<Change> changes;
  {
    std::lock_guard lock(NotedOps().mutex);
    changes.swap(NotedOps().changes);
    g_ops_to_guard.store(false, std::memory_order_relaxed);
  }
  for (const auto& [name, defined] : changes) {
    const std::pair key(name.name, name.overload_name);
    try {
      if (!defined) {
        guards->erase(key);
      } else if (!guards->contains(key)) {
        guards->emplace(key, Install(name));
      }
    } catch (const std::exception& error) {
      SayTrouble("custom-op-guard", name.name + " can't be watched (" +
                                        error.what() +
                                        "); exclude modules whose output it "
                                        "writes by INVACT_EXCLUDE");
    }
  }
}

}  // namespace invact
