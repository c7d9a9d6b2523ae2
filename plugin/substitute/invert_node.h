// The autograd node of an inverted activation: gives dx from dy, the output y
// and one branch bit an element. docs/kernels.md has the mathematics.
#ifndef INVACT_PLUGIN_SUBSTITUTE_INVERT_NODE_H_
#define INVACT_PLUGIN_SUBSTITUTE_INVERT_NODE_H_

#include <torch/csrc/autograd/function.h>

#include <memory>
#include <string>

#include "plugin/substitute/held_output.h"

namespace invact {

// What distinguishes the ops to the node.
struct InvertedOp {
  const char* node_name;  // as torch's own node is called
  // Torch's differentiable backward, for a backward of the backward.
  at::Tensor (*backward)(const at::Tensor& dy, const at::Tensor& x,
                         const std::string& variant);
};

class InvertNode final : public torch::autograd::Node {
 public:
  InvertNode(const InvertedOp* op, std::string variant)
      : op_(op), variant_(std::move(variant)) {}

  void Hold(std::shared_ptr<HeldOutput> held) { held_ = std::move(held); }

  torch::autograd::variable_list apply(
      torch::autograd::variable_list&& grads) override;
  void release_variables() override;
  std::string name() const override { return op_->node_name; }

 private:
  [[noreturn]] void ThrowInputWritten(const HeldOutput::View& held) const;
  at::Tensor Invert(const HeldOutput::View& held, const at::Tensor& dy) const;
  at::Tensor ThroughInput(const HeldOutput::View& held,
                          const at::Tensor& dy) const;

  const InvertedOp* op_;
  std::string variant_;
  std::shared_ptr<HeldOutput> held_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_INVERT_NODE_H_
