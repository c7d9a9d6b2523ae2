// The ops that can be differentiated from their output.
//
// Two kinds. Those of the kernel registry need a branch bit or a formula of
// ours. Those with a `backward` here need neither: PyTorch's own backward
// kernel gives the right gradient when it is handed the output in the input's
// place, in every dtype and on every device, so that only what is kept changes.
// leaky_relu is of both kinds.
#ifndef INVACT_PLUGIN_SUBSTITUTE_INVERTED_OP_H_
#define INVACT_PLUGIN_SUBSTITUTE_INVERTED_OP_H_

#include <ATen/core/Tensor.h>

#include <span>
#include <string>

#include "plugin/substitute/op_arguments.h"
#include "proto/codes.h"

namespace invact {

struct InvertedOp {
  std::string name;       // "aten::gelu"
  std::string node_name;  // as torch's own node is called
  // The rest is nullptr for an op of the kernel registry.
  // Whether a y of this dtype tells f' with these arguments.
  bool (*accepts)(const OpArguments& arguments, at::ScalarType dtype);
  // dx from dy and y, by PyTorch's kernel.
  at::Tensor (*backward)(const at::Tensor& dy, const at::Tensor& y,
                         const OpArguments& arguments);
  // An x with f(x) == y whose f' is the true one.
  at::Tensor (*reconstruct)(const at::Tensor& y, const OpArguments& arguments);
  // Where `accepts` agrees, the op's tensor beside x is filled by nobody, read
  // by nobody, and yet kept by PyTorch.
  bool has_unread_tensor = false;
  // What `accepts` refuses and a kernel of the registry serves; nullptr:
  // nothing.
  const char* by_kernel = nullptr;
};

// All built in, in the order in which the kernel list shows them.
std::span<const InvertedOp> BuiltInOps();

// Ops that are left alone whatever they are called with, and why.
struct DeclinedOp {
  const char* name;
  Reason reason;
};
std::span<const DeclinedOp> DeclinedOps();

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_INVERTED_OP_H_
