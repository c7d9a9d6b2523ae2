#include "plugin/observe/oom_observer.h"

#if __has_include(<cuda_runtime_api.h>)

#include <c10/cuda/CUDACachingAllocator.h>
#include <dlfcn.h>

#include "plugin/log.h"
#include "plugin/observe/recorder.h"

namespace invact {

void ObserveOutOfMemory() noexcept {
  using c10::cuda::CUDACachingAllocator::CUDAAllocator;
  // Looked up, not linked: the plugin also serves a torch without CUDA.
  void* library = dlopen("libc10_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return;
  auto* allocator = static_cast<std::atomic<CUDAAllocator*>*>(
      dlsym(library, "_ZN3c104cuda20CUDACachingAllocator9allocatorE"));
  if (allocator == nullptr || allocator->load() == nullptr) return;
  try {
    allocator->load()->attachOutOfMemoryObserver(
        [](int64_t, size_t requested, size_t, size_t) {
          Recorder::Get().OutOfMemory(static_cast<int64_t>(requested));
        });
  } catch (const std::exception& error) {
    SayTrouble("oom-observer", error.what());
  }
}

}  // namespace invact

#else

namespace invact {

// Built where CUDA's headers are not: an out-of-memory is then seen as a step
// that was not completed.
void ObserveOutOfMemory() noexcept {}

}  // namespace invact

#endif
