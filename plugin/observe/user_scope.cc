#include "plugin/observe/user_scope.h"

#include <ATen/record_function.h>

#include <string>
#include <vector>

#include "plugin/guard.h"
#include "plugin/observe/scope.h"

namespace invact {

namespace {

thread_local std::vector<std::string> t_path;

std::unique_ptr<at::ObserverContext> Enter(const at::RecordFunction& function) {
  if (!ScopesWanted()) return nullptr;  // a forked child: no lock is ours
  std::string path = t_path.empty() ? std::string() : t_path.back() + ".";
  path += function.name();
  PushScope(InternScope(path, false));
  t_path.push_back(std::move(path));
  return nullptr;
}

void Leave(const at::RecordFunction&, at::ObserverContext*) {
  if (t_path.empty()) return;
  t_path.pop_back();
  PopScope();
}

}  // namespace

void InstallUserScopes() noexcept {
  at::addGlobalCallback(at::RecordFunctionCallback(Enter, Leave)
                            .scopes({at::RecordScope::USER_SCOPE}));
}

}  // namespace invact
