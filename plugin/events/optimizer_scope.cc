#include "plugin/events/optimizer_scope.h"

#include <ATen/record_function.h>

#include <memory>
#include <string_view>

#include "plugin/events/memory_events.h"

namespace invact {

namespace {

bool IsOptimizerStep(const at::RecordFunction& function) {
  return std::string_view(function.name()).starts_with("Optimizer.step#");
}

std::unique_ptr<at::ObserverContext> Enter(const at::RecordFunction& function) {
  if (IsOptimizerStep(function)) {
    MarkMemoryIfWanted(EventKind::kOptimizerBegin, 0);
  }
  return nullptr;
}

void Leave(const at::RecordFunction& function, at::ObserverContext*) {
  if (IsOptimizerStep(function)) {
    MarkMemoryIfWanted(EventKind::kOptimizerEnd, 0);
  }
}

}  // namespace

void WatchOptimizers() noexcept {
  at::addGlobalCallback(at::RecordFunctionCallback(Enter, Leave)
                            .scopes({at::RecordScope::USER_SCOPE}));
}

}  // namespace invact
