// Write guards of the ops that optimizers call with lists of a thousand
// tensors, by their own types: to hand such lists to a guard for any op
// (mutation_guard.h) they would be copied twice.
#ifndef INVACT_PLUGIN_SUBSTITUTE_LIST_GUARDS_H_
#define INVACT_PLUGIN_SUBSTITUTE_LIST_GUARDS_H_

#include <torch/library.h>

namespace invact {

// Registers the op's guard in `library`, an implementation of aten at
// ADInplaceOrView, where torch has no kernel of its own for it. False when
// there is none of that op here.
bool InstallListGuard(const c10::OperatorName& op, torch::Library* library);

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_LIST_GUARDS_H_
