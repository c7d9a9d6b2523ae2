#include "plugin/substitute/original_kernel.h"

namespace invact {

std::optional<OriginalKernel> FetchOriginal(const c10::OperatorName& name,
                                            c10::DispatchKey key) {
  const auto op = c10::Dispatcher::singleton().findSchema(name);
  if (!op.has_value() || !op->hasComputedKernelForDispatchKey(key)) {
    return std::nullopt;
  }
  return OriginalKernel{*op, op->getComputedKernelForDispatchKey(key)};
}

}  // namespace invact
