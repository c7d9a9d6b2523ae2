// Sees writes by ops that are not aten's (torch.library, extensions, torch's
// own other namespaces), where their schema says what they write, and by the
// collectives of torch.distributed, whose schemas don't.
//
// Such an op comes when it likes, and what kernels it has at the autograd keys
// is its own affair. So the guard stands at BackendSelect, which every call
// passes last before the device's kernel and where no such op has one: after
// autograd's version counter was told, before a byte is written.
//
// Threads: an op is noted on the thread that defines it, under the dispatcher's
// lock, and guarded at the next outermost module call, substitution or op that
// is recorded; the same for its end.
#ifndef INVACT_PLUGIN_SUBSTITUTE_CUSTOM_OP_GUARD_H_
#define INVACT_PLUGIN_SUBSTITUTE_CUSTOM_OP_GUARD_H_

#include <atomic>

namespace invact {

// Once, at start. Throws what torch throws.
void WatchForOps();

extern std::atomic<bool> g_ops_to_guard;
void GuardOps() noexcept;

// Where no lock is held and no op that writes is being called: before an output
// is held or a recipe is made, and before a module is called.
inline void GuardNewOps() noexcept {
  if (g_ops_to_guard.load(std::memory_order_relaxed)) GuardOps();
}

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_CUSTOM_OP_GUARD_H_
