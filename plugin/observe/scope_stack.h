// The calling thread's stack of scopes, as the recorder reads it and as module
// calls push and pop it. scope.h is what others use.
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
  // Saves of the root scope, the outermost module's own and those outside every
  // module call, are numbered within their step.
  uint32_t root_next_save;
  int64_t root_step;
  // The module call under way (plugin/python), alive as long as it is called.
  void* module;
  uint32_t module_root;
  ScopeFrame frames[kMaxDepth];

  // The thread's own, its address asked for once: the compiler would ask the
  // loader for it at each use.
  static ScopeStack& OfThread() noexcept;

  void Push(uint32_t scope, int64_t input_bytes) noexcept {
    if (depth == 0) BeforeOutermost();
    if (++depth > kMaxDepth) return;  // deeper: the parent's
    frames[depth - 1] = {scope, 0, input_bytes,
                         input_bytes > 0 ? BlockBegin() : 0};
  }
  void Pop() noexcept {
    if (depth == 0) return;
    if (depth <= kMaxDepth && frames[depth - 1].begin_ns != 0) {
      BlockEnd(frames[depth - 1]);
    }
    --depth;
  }

 private:
  static void BeforeOutermost() noexcept;
  // 0: not to be timed.
  static int64_t BlockBegin() noexcept;
  static void BlockEnd(const ScopeFrame& frame) noexcept;
};

extern constinit thread_local ScopeStack t_scopes
    __attribute__((visibility("hidden")));

inline ScopeStack& ScopeStack::OfThread() noexcept {
  ScopeStack* mine = &t_scopes;
  asm("" : "+r"(mine));
  return *mine;
}

int64_t MonotonicNs() noexcept;

// Whether the storage belongs to a parameter or buffer of a module seen so far.
// An unknown one is remembered (TakeUnownedSaves).
bool IsPersistentStorage(const void* storage) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_SCOPE_STACK_H_
