// Which arguments of an op its schema says it writes.
#ifndef INVACT_PLUGIN_SUBSTITUTE_WRITTEN_ARGUMENTS_H_
#define INVACT_PLUGIN_SUBSTITUTE_WRITTEN_ARGUMENTS_H_

#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>

#include <string>
#include <vector>

namespace invact {

// As distances from the end of a stack of the op's arguments: those that
// `writes` is true of.
template <typename F>
std::vector<int> ArgumentsWhere(const c10::FunctionSchema& schema, F writes) {
  std::vector<int> written;
  const auto& arguments = schema.arguments();
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (writes(arguments[i])) {
      written.push_back(static_cast<int>(arguments.size() - i));
    }
  }
  return written;
}

inline std::vector<int> WrittenArguments(const c10::FunctionSchema& schema) {
  return ArgumentsWhere(schema, [](const c10::Argument& argument) {
    return argument.alias_info() != nullptr && argument.alias_info()->isWrite();
  });
}

// The same of torch.distributed's collectives: their schemas mark no write, and
// none is counted. What they write is named as an output, or is all they are
// given.
inline std::vector<int> WrittenByCollective(const c10::FunctionSchema& schema) {
  const std::string& name = schema.name();
  if (name.rfind("c10d::", 0) != 0 || name == "c10d::send") return {};
  return ArgumentsWhere(schema, [](const c10::Argument& argument) {
    return argument.name() == "tensors" ||
           argument.name().rfind("output", 0) == 0;
  });
}

// f(tensor) for each tensor in it, in lists of lists as well.
template <typename F>
void ForEachTensor(const c10::IValue& value, const F& f) {
  if (value.isTensor()) {
    f(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) f(tensor);
  } else if (value.isList()) {
    for (const c10::IValue& item : value.toListRef()) ForEachTensor(item, f);
  }
}

// f(tensor) for each tensor among those arguments.
template <typename F>
void ForEachWritten(const torch::jit::Stack& stack,
                    const std::vector<int>& written, const F& f) {
  for (const int from_end : written)
    ForEachTensor(*(stack.end() - from_end), f);
}

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_WRITTEN_ARGUMENTS_H_
