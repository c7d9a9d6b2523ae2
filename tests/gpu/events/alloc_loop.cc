// Allocates and frees blocks of torch's CUDA allocator in a loop, for
// check_events.py: nanoseconds of each pair, without Python between them.
#include <c10/cuda/CUDACachingAllocator.h>
#include <dlfcn.h>
#include <time.h>

namespace {

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

}  // namespace

// `out`: mean nanoseconds a pair, one of each of `rounds` runs of `pairs`.
extern "C" __attribute__((visibility("default"))) int invact_alloc_loop(
    int64_t bytes, int64_t pairs, int64_t rounds, double* out) {
  using c10::cuda::CUDACachingAllocator::CUDAAllocator;
  void* library = dlopen("libc10_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return 1;
  auto* allocator = static_cast<std::atomic<CUDAAllocator*>*>(
      dlsym(library, "_ZN3c104cuda20CUDACachingAllocator9allocatorE"));
  if (allocator == nullptr) return 1;
  CUDAAllocator* to = allocator->load();
  for (int64_t round = 0; round < rounds; ++round) {
    const int64_t begin = Now();
    for (int64_t i = 0; i < pairs; ++i) {
      to->raw_delete(to->raw_alloc(static_cast<size_t>(bytes)));
    }
    out[round] =
        static_cast<double>(Now() - begin) / static_cast<double>(pairs);
  }
  return 0;
}
