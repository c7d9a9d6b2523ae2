// When an optimizer's step begins and ends: torch.optim names each call of
// step() "Optimizer.step#<class>.step" to torch's profiler.
#ifndef INVACT_PLUGIN_EVENTS_OPTIMIZER_SCOPE_H_
#define INVACT_PLUGIN_EVENTS_OPTIMIZER_SCOPE_H_

namespace invact {

// Once. C++ optimizers name nothing: what they allocate is `other`.
void WatchOptimizers() noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_OPTIMIZER_SCOPE_H_
