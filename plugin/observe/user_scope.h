// Scopes of C++ jobs: what they mark by RECORD_USER_SCOPE.
#ifndef INVACT_PLUGIN_OBSERVE_USER_SCOPE_H_
#define INVACT_PLUGIN_OBSERVE_USER_SCOPE_H_

namespace invact {

// Once, in a job without Python. Nested names are joined by dots.
void InstallUserScopes() noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_USER_SCOPE_H_
