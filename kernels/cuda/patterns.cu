#include <algorithm>
#include <atomic>
#include <memory>

#include "kernels/cuda/pattern_kernels.cuh"
#include "kernels/cuda/patterns.h"

namespace invact::kernels {
namespace {

constexpr int kDevices = 64;

// Fewer are less than one long block for every other SM of a large card.
constexpr int64_t kFewForBackward = int64_t{1} << 19;

struct alignas(16) Tables {
  uint16_t outputs[INVACT_PATTERNS];
  __half slopes[4 * kSlopeRun];
};
static_assert(sizeof(Tables::slopes) == kSlopeBytes);

// Plain bytes, so that nothing is constructed.
__device__ uint4 storage[kPatternSlots][sizeof(Tables) / sizeof(uint4)];

// `view` is written once, before `ready`.
struct Prepared {
  std::atomic<bool> ready;
  PatternView view;
};
Prepared prepared[kPatternSlots][kDevices];

// That of the current device.
int Find(int slot, Prepared** found) {
  int device = 0;
  const cudaError_t error = cudaGetDevice(&device);
  if (error != cudaSuccess) return error;
  if (device >= kDevices) return cudaErrorInvalidDevice;
  *found = &prepared[slot][device];
  return cudaSuccess;
}

int FindReady(int slot, Prepared** found) {
  const int error = Find(slot, found);
  if (error != 0) return error;
  return (*found)->ready.load(std::memory_order_acquire) ? 0
                                                         : INVACT_NOT_PREPARED;
}

}  // namespace

int PreparePatterns(int slot, const invact_call& call,
                    const invact_patterns& patterns, float x0) {
  Prepared* mine;
  int error = Find(slot, &mine);
  if (error != 0) return error;
  void* base;
  error = cudaGetSymbolAddress(&base, storage);
  if (error != 0) return error;
  Tables* const tables = static_cast<Tables*>(base) + slot;

  const PatternTable built =
      MakePatternTable(patterns, INVACT_BF16, x0, kSlopeRun);
  const auto host = std::make_unique<Tables>();
  std::copy_n(patterns.y, INVACT_PATTERNS, host->outputs);
  std::transform(built.slopes.begin(), built.slopes.end(), host->slopes,
                 [](float slope) { return __float2half(slope); });
  // Pageable memory, which the driver has copied when this returns.
  error = cudaMemcpyAsync(tables, host.get(), sizeof(Tables),
                          cudaMemcpyHostToDevice,
                          static_cast<cudaStream_t>(call.stream));
  if (error != 0) return error;
  mine->view = ViewOf(built.layout, x0, tables->outputs,
                      reinterpret_cast<const uint4*>(tables->slopes));
  mine->ready.store(true, std::memory_order_release);
  return 0;
}

int PatternsReady(int slot) {
  Prepared* unused;
  return FindReady(slot, &unused);
}

int PatternForward(int slot, const invact_call& call, const void* x, void* y,
                   void* side, int64_t n) {
  Prepared* mine;
  const int error = FindReady(slot, &mine);
  if (error != 0) return error;
  using T = __nv_bfloat16;
  return Launch<1>(PatternForwardKernel, kForwardThreads, n, call.stream,
                   static_cast<const T*>(x), static_cast<T*>(y),
                   static_cast<uint8_t*>(side), n, Aligned(x, y), mine->view);
}

int PatternBackward(int slot, const invact_call& call, const void* y,
                    const void* side, const void* dy, void* dx, int64_t n) {
  Prepared* mine;
  const int error = FindReady(slot, &mine);
  if (error != 0) return error;
  using T = __nv_bfloat16;
  const auto launch = [&](auto kernel, int threads) {
    return Launch<1>(kernel, threads, n, call.stream, static_cast<const T*>(y),
                     static_cast<const uint8_t*>(side),
                     static_cast<const T*>(dy), static_cast<T*>(dx), n,
                     Aligned(y, dy, dx), mine->view);
  };
  const bool in_y = (call.flags & INVACT_BIT_IN_Y) != 0;
  // Long blocks share a table; there have to be some for each SM.
  if (n < kFewForBackward) {
    constexpr int kThreads = kBackwardThreads / 4;
    return launch(in_y ? PatternBackwardKernel<true, kThreads>
                       : PatternBackwardKernel<false, kThreads>,
                  kThreads);
  }
  return launch(in_y ? PatternBackwardKernel<true, kBackwardThreads>
                     : PatternBackwardKernel<false, kBackwardThreads>,
                kBackwardThreads);
}

}  // namespace invact::kernels
