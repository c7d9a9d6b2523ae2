// Where in the model the calling thread is: a thread-local stack of scopes.
//
// A scope is one module path ("encoder.layer.3.mlp"; "" is the outermost
// module). Python jobs push a scope when a module's __call__ is entered and
// pop it when it returns or raises (plugin/python/); C++ jobs push on
// RECORD_USER_SCOPE (observe/user_scope.cc). A call site is (scope, number of
// the saved tensor inside this one call of the scope), so each frame carries
// its own counter.
//
// Threads: the stack belongs to the thread that pushes. InternScope may be
// called from any thread. Nothing here calls torch or Python, allocates on the
// push/pop path after the first use, or throws.
#ifndef INVACT_PLUGIN_OBSERVE_SCOPE_H_
#define INVACT_PLUGIN_OBSERVE_SCOPE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "plugin/guard.h"

namespace invact {

inline constexpr uint32_t kRootScope = 0;  // name "", exists from the start

// Gives the number of the scope with this name, the same for the same name.
// `block`: the module is a child of a ModuleList or Sequential. When the table
// is full every new name gets kRootScope (counted as an overflow).
uint32_t InternScope(std::string_view name, bool block) noexcept;

// The name belongs to another module from now on: what was decided for the one
// before is forgotten.
void RenewScope(uint32_t scope) noexcept;

// Whether the plugin wants scopes at all now (a saved tensor may follow).
// False in a forked child and after the feature was switched off.
inline bool ScopesWanted() noexcept { return Active(); }

// Whether this process may touch the plugin's tables: false in a forked child,
// whose copies of the locks belong to threads that it does not have.
bool OwnProcess() noexcept;

// `input_bytes`: bytes of the call's first tensor argument, for blocks; else 0.
void PushScope(uint32_t scope, int64_t input_bytes = 0) noexcept;
void PopScope() noexcept;
// An exception is leaving the scope, or the job is about to end: to be called
// while what the forward saved is still alive.
void ScopeFailed() noexcept;

// Depth of the calling thread's stack: 0 outside every module call.
size_t ScopeDepth() noexcept;

// Storages (StorageImpl addresses) of the parameters and buffers reachable
// from the outermost module whose call starts now. They replace those set
// before under the same `owner` (the module's address). They never count as
// saved. An empty span forgets the owner (the module died).
void SetPersistentStorages(const void* owner,
                           std::span<const void* const> storages) noexcept;

// How often a tensor without grad_fn and without requires_grad was saved that
// no owner named: batches, or parameters and buffers that are new. Reading
// starts anew.
uint32_t TakeUnownedSaves() noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_SCOPE_H_
