#include "plugin/observe/graph_task.h"

#include <dlfcn.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/graph_task.h>

#include "plugin/digest/digests.h"
#include "plugin/digest/leaves.h"
#include "plugin/guard.h"
#include "plugin/observe/import_slot.h"
#include "plugin/observe/recorder.h"

namespace invact {

namespace {

using torch::autograd::edge_list;
using torch::autograd::Engine;
using torch::autograd::variable_list;

constexpr char kExecute[] =
    "_ZN5torch8autograd6Engine7executeERKSt6vectorINS0_4EdgeESaIS3_EERKS2_IN2at"
    "6TensorESaIS9_EEbbbS7_";

using Execute = variable_list (*)(Engine*, const edge_list&,
                                  const variable_list&, bool, bool, bool,
                                  const edge_list&);
Execute g_execute;

// An exception of the job's passes through: the step is then not complete.
class BackwardScope {
 public:
  BackwardScope() { Recorder::Get().EnterBackward(); }
  ~BackwardScope() {
    const int64_t step = Recorder::Get().LeaveBackward(complete_);
    if (Digesting()) DigestStep(step);
  }
  BackwardScope(const BackwardScope&) = delete;
  BackwardScope& operator=(const BackwardScope&) = delete;
  void Complete() { complete_ = true; }

 private:
  bool complete_ = false;
};

variable_list ExecuteBackward(Engine* engine, const edge_list& roots,
                              const variable_list& inputs, bool keep_graph,
                              bool create_graph, bool accumulate_grad,
                              const edge_list& outputs) {
  if (!Active() || InGraphTask()) {
    const NestedBackward nested;
    return g_execute(engine, roots, inputs, keep_graph, create_graph,
                     accumulate_grad, outputs);
  }
  if (Digesting()) DigestRoots(roots, inputs);
  BackwardScope scope;
  variable_list gradients = g_execute(engine, roots, inputs, keep_graph,
                                      create_graph, accumulate_grad, outputs);
  scope.Complete();
  return gradients;
}

}  // namespace

bool InGraphTask() noexcept {
  return torch::autograd::get_current_graph_task_id() != -1;
}

bool ObserveBackwards(bool python, std::string* error) noexcept {
  void* torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
  g_execute = torch == nullptr
                  ? nullptr
                  : reinterpret_cast<Execute>(dlsym(torch, kExecute));
  ImportPatch patch[] = {{kExecute, reinterpret_cast<void*>(ExecuteBackward)}};
  if (g_execute == nullptr ||
      !PatchImports(python ? "libtorch_python.so" : "libtorch_cpu.so", patch) ||
      patch[0].slots == 0) {
    *error = "this build of torch hides torch::autograd::Engine::execute";
    return false;
  }
  return true;
}

}  // namespace invact
