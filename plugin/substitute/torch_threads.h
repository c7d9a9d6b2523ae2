// Splits a loop over the threads that torch's own CPU kernels use.
//
// at::parallel_for is a template that runs in the calling thread alone where
// its user was compiled without OpenMP, and compiling with OpenMP would name a
// runtime that may not be torch's: two pools then fight for the cores. So the
// runtime that this torch linked is called through its C entry points.
//
// Threads: any. Blocks until the loop is done, like torch's own loops.
#ifndef INVACT_PLUGIN_SUBSTITUTE_TORCH_THREADS_H_
#define INVACT_PLUGIN_SUBSTITUTE_TORCH_THREADS_H_

#include <cstdint>

namespace invact {

// Calls body(context, first, last) for ranges that together are [0, count),
// each of at least `grain` where possible. `body` must not throw.
using LoopBody = void (*)(void* context, int64_t first, int64_t last);
void OverTorchThreads(int64_t count, int64_t grain, LoopBody body,
                      void* context);

template <typename Body>
void OverTorchThreads(int64_t count, int64_t grain, Body body) {
  OverTorchThreads(
      count, grain,
      [](void* context, int64_t first, int64_t last) {
        (*static_cast<Body*>(context))(first, last);
      },
      &body);
}

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_TORCH_THREADS_H_
