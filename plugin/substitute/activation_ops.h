// Stands in for the activation ops at the autograd keys: serves what it can by
// an InvertNode, hands everything else to PyTorch's own kernel with the reason
// noted at the call site.
#ifndef INVACT_PLUGIN_SUBSTITUTE_ACTIVATION_OPS_H_
#define INVACT_PLUGIN_SUBSTITUTE_ACTIVATION_OPS_H_

#include <atomic>
#include <string>

namespace invact {

// Once, at start. False with the reason where torch refused.
bool InstallActivationOps(bool cuda, std::string* error) noexcept;

// Ops of others that a library of INVACT_KERNELS serves are stood in for as
// soon as PyTorch knows them: asked before a module is called.
extern std::atomic<bool> g_ops_to_install;
void InstallOps() noexcept;
inline void InstallNewOps() noexcept {
  if (g_ops_to_install.load(std::memory_order_relaxed)) InstallOps();
}

// Substituting can be paused between steps (policy observe); for tests and
// benchmarks that compare policies in one process.
void SetSubstituting(bool on) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_ACTIVATION_OPS_H_
