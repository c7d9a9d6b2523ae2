// Sees every in-place write that torch's dispatcher announces before it
// happens, so that outputs held by a substitution are copied first
// (held_output.h). Wraps each mutable overload of aten at ADInplaceOrView,
// which lies below the autograd keys; PyTorch's own kernel runs right after.
//
// Ops of others are custom_op_guard.h's. A write that no op's schema announces
// (a Triton kernel, a raw pointer) is not seen: docs/accounting.md names it as
// a limit.
#ifndef INVACT_PLUGIN_SUBSTITUTE_MUTATION_GUARD_H_
#define INVACT_PLUGIN_SUBSTITUTE_MUTATION_GUARD_H_

#include <string>

namespace invact {

// At start; further calls repeat the first one's answer. False with the reason:
// then nothing may be substituted or rebuilt.
bool InstallMutationGuard(bool python, bool cuda, std::string* error) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_MUTATION_GUARD_H_
