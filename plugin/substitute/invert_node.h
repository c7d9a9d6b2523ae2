// The autograd node of an inverted activation: gives dx from dy, the output y
// and at most one branch bit an element. docs/kernels.md has the mathematics.
#ifndef INVACT_PLUGIN_SUBSTITUTE_INVERT_NODE_H_
#define INVACT_PLUGIN_SUBSTITUTE_INVERT_NODE_H_

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/function.h>

#include <memory>
#include <string>

#include "kernels/kernel_api.h"
#include "plugin/substitute/held_output.h"
#include "plugin/substitute/inverted_op.h"

namespace invact {

// One call of an activation that is told from its output.
struct Inversion {
  const InvertedOp* op;
  c10::OperatorHandle handle;
  const invact_activation* kernels;  // nullptr: PyTorch's own, see InvertedOp
  OpArguments arguments;
  bool bit_in_y = false;  // no bits are held: they are in y
  // False: y is PyTorch's though the kernels say that theirs is the same.
  bool own_forward = true;
};

class InvertNode final : public torch::autograd::Node {
 public:
  explicit InvertNode(Inversion call) : call_(std::move(call)) {}

  void Hold(std::shared_ptr<HeldOutput> held) { held_ = std::move(held); }

  torch::autograd::variable_list apply(
      torch::autograd::variable_list&& grads) override;
  void release_variables() override;
  std::string name() const override { return call_.op->node_name; }

 private:
  [[noreturn]] void ThrowInputWritten(const HeldOutput::View& held) const;
  at::Tensor TakenBits(const at::Tensor& y) const;
  at::Tensor Invert(const HeldOutput::View& held, const at::Tensor& dy) const;
  at::Tensor Reconstruct(const HeldOutput::View& held) const;
  at::Tensor ThroughInput(const HeldOutput::View& held,
                          const at::Tensor& dy) const;

  Inversion call_;
  std::shared_ptr<HeldOutput> held_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_INVERT_NODE_H_
