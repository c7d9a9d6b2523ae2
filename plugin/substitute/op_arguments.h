// What an activation op was called with beside its input, as its schema orders
// it.
#ifndef INVACT_PLUGIN_SUBSTITUTE_OP_ARGUMENTS_H_
#define INVACT_PLUGIN_SUBSTITUTE_OP_ARGUMENTS_H_

#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>
#include <ATen/ops/empty_like.h>

#include <array>
#include <cmath>
#include <string_view>
#include <vector>

namespace invact {

// Most that a built-in op has.
inline constexpr size_t kMaxParameters = 4;

struct OpArguments {
  std::vector<c10::IValue> rest;  // in the schema's order
  std::array<double, kMaxParameters> parameters = {};
  size_t count = 0;    // of parameters
  bool known = false;  // one string at most, else scalars, all finite
  // Place in `rest` of a tensor that the op fills and nobody reads; -1: none.
  int unread = -1;

  std::string_view variant() const {
    for (const c10::IValue& value : rest) {
      if (value.isString()) return value.toStringRef();
    }
    return {};
  }
  c10::Scalar scalar(size_t i) const { return parameters[i]; }

  // A call of the same op with another input.
  torch::jit::Stack StackFor(const at::Tensor& x) const {
    torch::jit::Stack stack;
    stack.reserve(rest.size() + 2);
    stack.emplace_back(x);
    stack.insert(stack.end(), rest.begin(), rest.end());
    if (unread >= 0 && rest[unread].isNone()) {
      stack[unread + 1] = at::empty_like(x);
    }
    return stack;
  }
  at::Tensor UnreadTensor() const {
    return unread < 0 ? at::Tensor() : rest[unread].toTensor();
  }
  // Nothing of it is held until backward.
  void DropUnread() {
    if (unread >= 0) rest[unread] = c10::IValue();
  }
};

// The last `count` values of the stack, the first of which is the input. With
// `may_be_unread` one tensor and a generator may be among the others.
inline OpArguments ArgumentsOf(const torch::jit::Stack& stack, size_t count,
                               bool may_be_unread) {
  OpArguments made;
  made.known = true;
  made.rest.assign(stack.end() - static_cast<int64_t>(count) + 1, stack.end());
  for (const c10::IValue& value : made.rest) {
    if (value.isString()) continue;
    if (may_be_unread && (value.isNone() || value.isGenerator())) continue;
    if (may_be_unread && value.isTensor() && made.unread < 0) {
      made.unread = static_cast<int>(&value - made.rest.data());
      continue;
    }
    if (!value.isScalar() || value.isComplexDouble() ||
        made.count == kMaxParameters) {
      made.known = false;
      break;
    }
    const double parameter = value.toScalar().toDouble();
    made.known = made.known && std::isfinite(parameter);
    made.parameters[made.count++] = parameter;
  }
  return made;
}

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_OP_ARGUMENTS_H_
