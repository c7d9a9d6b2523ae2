#include "plugin/substitute/mutation_guard.h"

#include <ATen/core/boxing/KernelFunction.h>
#include <torch/library.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "plugin/guard.h"
#include "plugin/substitute/held_output.h"
#include "plugin/substitute/original_kernel.h"

namespace invact {

namespace {

using c10::DispatchKey;

// These change what a tensor is, not the bytes of its storage.
constexpr std::string_view kNotWrites[] = {
    "aten::set_data",    "aten::requires_grad_",
    "aten::detach_",     "aten::retain_grad",
    "aten::_backward",   "aten::rename_",
    "aten::squeeze_",    "aten::unsqueeze_",
    "aten::transpose_",  "aten::t_",
    "aten::swapaxes_",   "aten::swapdims_",
    "aten::as_strided_", "aten::resize_",
    "aten::resize_as_",  "aten::_resize_output_",
    "aten::set_"};

class WriteGuard final : public c10::OperatorKernel {
 public:
  WriteGuard(OriginalKernel original, std::vector<int> written)
      : original_(std::move(original)), written_(std::move(written)) {}

  void operator()(const c10::OperatorHandle&, c10::DispatchKeySet keys,
                  torch::jit::Stack* stack) {
    if (g_held_outputs.load(std::memory_order_relaxed) > 0 && Active() &&
        t_own_work == 0) {
      for (int from_end : written_) Announce(*(stack->end() - from_end));
    }
    original_.CallBoxed(keys, stack);
  }

 private:
  static void Announce(const c10::IValue& argument) {
    if (argument.isTensor()) {
      MaterialiseBefore(argument.toTensor());
    } else if (argument.isTensorList()) {
      for (const at::Tensor& tensor : argument.toTensorVector()) {
        MaterialiseBefore(tensor);
      }
    } else if (argument.isList()) {  // optional tensors
      for (const c10::IValue& item : argument.toListRef()) {
        if (item.isTensor()) MaterialiseBefore(item.toTensor());
      }
    }
  }

  OriginalKernel original_;
  std::vector<int> written_;  // distances from the end of the stack
};

std::vector<int> WrittenArguments(const c10::FunctionSchema& schema) {
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

int Install(DispatchKey key) {
  auto* library =
      new torch::Library(torch::Library::IMPL, "aten", key, __FILE__, __LINE__);
  int wrapped = 0;
  for (const c10::OperatorName& name :
       c10::Dispatcher::singleton().getAllOpNames()) {
    if (name.name.rfind("aten::", 0) != 0 ||
        std::find(std::begin(kNotWrites), std::end(kNotWrites), name.name) !=
            std::end(kNotWrites)) {
      continue;
    }
    const auto op = c10::Dispatcher::singleton().findSchema(name);
    if (!op.has_value() || !op->schema().is_mutable()) continue;
    std::vector<int> written = WrittenArguments(op->schema());
    if (written.empty()) continue;
    // ADInplaceOrView falls through for most: only own kernels are wrapped.
    if (key == DispatchKey::ADInplaceOrView &&
        !op->hasKernelForDispatchKey(key)) {
      continue;
    }
    auto original = FetchOriginal(name, key);
    if (!original.has_value()) continue;
    std::string overload = name.name.substr(6);
    if (!name.overload_name.empty()) overload += "." + name.overload_name;
    library->impl(
        overload.c_str(),
        torch::CppFunction::makeFromBoxedFunctor(std::make_unique<WriteGuard>(
            std::move(*original), std::move(written))));
    ++wrapped;
  }
  return wrapped;
}

}  // namespace

int InstallMutationGuard(bool cuda, std::string* error) noexcept {
  try {
    int wrapped = Install(DispatchKey::AutogradCPU);
    if (cuda) wrapped += Install(DispatchKey::AutogradCUDA);
    return wrapped;
  } catch (const std::exception& failure) {
    *error = failure.what();
    return 0;
  }
}

}  // namespace invact
