// The losses of a backward: its scalar roots. The engine is given edges of the
// graph, not tensors; who asks for a backward gets each root's edge by
// torch::autograd::impl::gradient_edge on the same thread just before, which is
// where the tensors are seen.
//
// Threads: any. Tensors are held weakly.
#ifndef INVACT_PLUGIN_DIGEST_ROOTS_H_
#define INVACT_PLUGIN_DIGEST_ROOTS_H_

#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/variable.h>

#include <string>
#include <vector>

namespace invact {

// False with the reason where this build of torch does not let it.
bool WatchRoots(bool python, std::string* error) noexcept;

// The thread asks for an outermost backward from these edges; `gradients`
// belong to them, or are fewer.
void NoteRoots(const torch::autograd::edge_list& edges,
               const torch::autograd::variable_list& gradients);

struct ScalarRoot {
  uint32_t place;     // among the roots of the step's backwards
  at::Tensor tensor;  // undefined: not seen, or gone
};
std::vector<ScalarRoot> TakeRoots();
void ForgetRoots() noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_DIGEST_ROOTS_H_
