// Stands in for aten::gelu and aten::silu at the autograd keys: serves what it
// can by an InvertNode, hands everything else to PyTorch's own kernel with the
// reason noted at the call site.
#ifndef INVACT_PLUGIN_SUBSTITUTE_ACTIVATION_OPS_H_
#define INVACT_PLUGIN_SUBSTITUTE_ACTIVATION_OPS_H_

#include <string>

namespace invact {

// Once, at start. False with the reason where torch refused.
bool InstallActivationOps(bool cuda, std::string* error) noexcept;

// Substituting can be paused between steps (policy observe); for tests and
// benchmarks that compare policies in one process.
void SetSubstituting(bool on) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_ACTIVATION_OPS_H_
