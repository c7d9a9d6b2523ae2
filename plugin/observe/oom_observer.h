// Learns of an out-of-memory from torch's CUDA allocator, where there is one.
#ifndef INVACT_PLUGIN_OBSERVE_OOM_OBSERVER_H_
#define INVACT_PLUGIN_OBSERVE_OOM_OBSERVER_H_

namespace invact {

// Once, when the first CUDA tensor is saved (the allocator exists by then).
void ObserveOutOfMemory() noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_OOM_OBSERVER_H_
