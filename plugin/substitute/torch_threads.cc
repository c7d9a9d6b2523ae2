#include "plugin/substitute/torch_threads.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>

namespace invact {

namespace {

// What every OpenMP runtime that torch is built with offers: GNU's, and
// LLVM's and Intel's under GNU's names.
struct OpenMp {
  void (*parallel)(void (*body)(void*), void* context, unsigned threads,
                   unsigned flags) = nullptr;
  int (*thread)() = nullptr;
  int (*threads)() = nullptr;

  bool found() const { return parallel && thread && threads; }
};

// From libtorch_cpu.so and what it depends on, not from the whole process:
// other packages bring runtimes of their own.
OpenMp OfTorch() {
  OpenMp found;
  void* torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
  if (torch == nullptr) return found;
  const auto find = [torch](const char* name, auto* function) {
    *function = reinterpret_cast<std::remove_reference_t<decltype(*function)>>(
        dlsym(torch, name));
  };
  find("GOMP_parallel", &found.parallel);
  find("omp_get_thread_num", &found.thread);
  find("omp_get_num_threads", &found.threads);
  return found;
}

const OpenMp& Runtime() {
  static const OpenMp runtime = OfTorch();
  return runtime;
}

struct Loop {
  int64_t count, grain;
  LoopBody body;
  void* context;
};

// One thread's share, divided as torch does.
void RunShare(void* shared) {
  const Loop& loop = *static_cast<const Loop*>(shared);
  const int64_t threads = std::min<int64_t>(
      Runtime().threads(), (loop.count + loop.grain - 1) / loop.grain);
  const int64_t share = (loop.count + threads - 1) / threads;
  const int64_t first = Runtime().thread() * share;
  if (first < loop.count) {
    loop.body(loop.context, first, std::min(loop.count, first + share));
  }
}

}  // namespace

void OverTorchThreads(int64_t count, int64_t grain, LoopBody body,
                      void* context) {
  if (count <= 0) return;
  at::internal::lazy_init_num_threads();
  if (count <= grain || at::in_parallel_region() ||
      at::get_num_threads() <= 1 || !Runtime().found()) {
    body(context, 0, count);
    return;
  }
  Loop loop{count, grain, body, context};
  Runtime().parallel(RunShare, &loop, 0, 0);
}

}  // namespace invact
