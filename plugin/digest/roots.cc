#include "plugin/digest/roots.h"

#include <dlfcn.h>

#include <array>
#include <mutex>
#include <optional>
#include <utility>

#include "plugin/guard.h"
#include "plugin/observe/import_slot.h"

namespace invact {

namespace {

using torch::autograd::Edge;
using WeakTensor =
    c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;

constexpr char kGradientEdge[] =
    "_ZN5torch8autograd4impl13gradient_edgeERKN2at6TensorE";

using GradientEdge = Edge (*)(const at::Tensor&);
GradientEdge g_gradient_edge;

// The scalars whose edges the thread asked for last. Roots of one backward are
// asked for in a row; a root beyond so many is not known.
struct Asked {
  WeakTensor tensor;
  const void* node = nullptr;
  uint32_t output = 0;
};
struct LastAsked {
  std::array<std::optional<Asked>, 64> asked;
  size_t next = 0;
};
thread_local LastAsked t_last;

struct Root {
  uint32_t place;
  std::optional<WeakTensor> tensor;
};
struct Roots {
  std::mutex mutex;
  std::vector<Root> roots;  // scalar ones
  uint32_t count = 0;       // all of them
};
Roots& TheRoots() {
  static auto* roots = new Roots;  // threads may outlive static objects
  return *roots;
}

bool IsScalar(const at::Tensor& tensor) {
  const c10::TensorImpl& impl = *tensor.unsafeGetTensorImpl();
  return tensor.defined() && !impl.has_symbolic_sizes_strides() &&
         !tensor.is_nested() && impl.numel() == 1;
}

Edge AskGradientEdge(const at::Tensor& tensor) {
  Edge edge = g_gradient_edge(tensor);
  if (Active() && t_own_work == 0 && IsScalar(tensor)) {
    t_last.asked[t_last.next++ % t_last.asked.size()] =
        Asked{WeakTensor(tensor.getIntrusivePtr()), edge.function.get(),
              edge.input_nr};
  }
  return edge;
}

// The newest one of that edge.
std::optional<WeakTensor> TensorOf(const Edge& edge) {
  const size_t size = t_last.asked.size();
  for (size_t back = 1; back <= size; ++back) {
    const auto& asked = t_last.asked[(t_last.next + size - back) % size];
    if (asked && asked->node == edge.function.get() &&
        asked->output == edge.input_nr) {
      return asked->tensor;
    }
  }
  return std::nullopt;
}

}  // namespace

bool WatchRoots(bool python, std::string* error) noexcept {
  void* torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
  g_gradient_edge =
      torch == nullptr
          ? nullptr
          : reinterpret_cast<GradientEdge>(dlsym(torch, kGradientEdge));
  ImportPatch patch[] = {
      {kGradientEdge, reinterpret_cast<void*>(AskGradientEdge)}};
  if (g_gradient_edge == nullptr ||
      !PatchImports(python ? "libtorch_python.so" : "libtorch_cpu.so", patch) ||
      patch[0].slots == 0) {
    *error = "this build of torch hides torch::autograd::impl::gradient_edge";
    return false;
  }
  return true;
}

void NoteRoots(const torch::autograd::edge_list& edges,
               const torch::autograd::variable_list& gradients) {
  Roots& roots = TheRoots();
  std::lock_guard lock(roots.mutex);
  for (size_t i = 0; i < edges.size(); ++i) {
    const uint32_t place = roots.count++;
    if (i < gradients.size() && gradients[i].defined() &&
        !IsScalar(gradients[i])) {
      continue;
    }
    roots.roots.push_back({place, TensorOf(edges[i])});
  }
  t_last = {};
}

std::vector<ScalarRoot> TakeRoots() {
  std::vector<ScalarRoot> out;
  Roots& roots = TheRoots();
  std::lock_guard lock(roots.mutex);
  for (const Root& root : roots.roots) {
    out.push_back({root.place, root.tensor ? at::Tensor(root.tensor->lock())
                                           : at::Tensor()});
  }
  roots.roots.clear();
  roots.count = 0;
  return out;
}

void ForgetRoots() noexcept {
  Roots& roots = TheRoots();
  std::lock_guard lock(roots.mutex);
  roots.roots.clear();
  roots.count = 0;
}

}  // namespace invact
