// Which arguments of an op its schema says it writes.
#ifndef INVACT_PLUGIN_SUBSTITUTE_WRITTEN_ARGUMENTS_H_
#define INVACT_PLUGIN_SUBSTITUTE_WRITTEN_ARGUMENTS_H_

#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>

#include <vector>

namespace invact {

// As distances from the end of a stack of the op's arguments.
inline std::vector<int> WrittenArguments(const c10::FunctionSchema& schema) {
  std::vector<int> written;
  const auto& arguments = schema.arguments();
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto* alias = arguments[i].alias_info();
    if (alias != nullptr && alias->isWrite()) {
      written.push_back(static_cast<int>(arguments.size() - i));
    }
  }
  return written;
}

// f(tensor) for each tensor among those arguments, in lists as well.
template <typename F>
void ForEachWritten(const torch::jit::Stack& stack,
                    const std::vector<int>& written, F f) {
  for (const int from_end : written) {
    const c10::IValue& argument = *(stack.end() - from_end);
    if (argument.isTensor()) {
      f(argument.toTensor());
    } else if (argument.isTensorList()) {
      for (const at::Tensor& tensor : argument.toTensorVector()) f(tensor);
    } else if (argument.isList()) {  // optional tensors
      for (const c10::IValue& item : argument.toListRef()) {
        if (item.isTensor()) f(item.toTensor());
      }
    }
  }
}

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_WRITTEN_ARGUMENTS_H_
