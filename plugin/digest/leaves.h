// Which leaves of the graph have gradients, and what they are called.
//
// A leaf has a name where a Python module called in this job holds it: module
// path and attribute, the first one of a shared parameter. Others are numbered
// within a backward, in the order in which their gradients were accumulated;
// those that a nested backward alone accumulates for (the inputs of a
// checkpointed block, say) are left out.
//
// Threads: any. Tensors are held weakly: nothing lives longer for it.
#ifndef INVACT_PLUGIN_DIGEST_LEAVES_H_
#define INVACT_PLUGIN_DIGEST_LEAVES_H_

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace invact {

// Takes AccumulateGrad::apply over, in torch's table of virtual functions.
// False with the reason where this build of torch does not let it.
bool WatchLeaves(std::string* error) noexcept;

// The tensor is the parameter of that name from now on, unless it has one.
void NameLeaf(const at::Tensor& tensor, const std::string& name);

// A backward inside another one runs on this thread.
class NestedBackward {
 public:
  NestedBackward() noexcept;
  ~NestedBackward();
  NestedBackward(const NestedBackward&) = delete;
  NestedBackward& operator=(const NestedBackward&) = delete;
};

struct Leaf {
  at::Tensor tensor;
  std::string name;
  bool accumulated;  // in this backward
};

// Named ones that have a gradient or got one in this backward, and the others
// that got one. Accumulations are forgotten.
std::vector<Leaf> TakeLeaves();
void ForgetAccumulations() noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_DIGEST_LEAVES_H_
