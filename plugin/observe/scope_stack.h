// The calling thread's stack of scopes, as the recorder reads it. scope.h is
// what others use.
#ifndef INVACT_PLUGIN_OBSERVE_SCOPE_STACK_H_
#define INVACT_PLUGIN_OBSERVE_SCOPE_STACK_H_

#include <cstddef>
#include <cstdint>

namespace invact {

struct ScopeFrame {
  uint32_t scope;
  uint32_t next_save;  // number of the next saved tensor in this call
  int64_t input_bytes;
  int64_t begin_ns;  // 0: not timed
};

// Plain data: a thread's stack needs no construction and no allocation.
struct ScopeStack {
  static constexpr size_t kMaxDepth = 128;
  size_t depth;
  // Saves outside every module call are numbered within their step.
  uint32_t root_next_save;
  int64_t root_step;
  ScopeFrame frames[kMaxDepth];
};

extern thread_local ScopeStack t_scopes;

int64_t MonotonicNs() noexcept;

// Whether the storage belongs to a parameter or buffer of a module seen so far.
// An unknown one is remembered (TakeUnownedSaves).
bool IsPersistentStorage(const void* storage) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_SCOPE_STACK_H_
