// The kernels by arithmetic: y and the bits from x, and f'(x) or x from y and
// its bit by the polynomials of decode.h. One pass over memory.
#ifndef INVACT_KERNELS_CUDA_POLYNOMIAL_KERNELS_CUH_
#define INVACT_KERNELS_CUDA_POLYNOMIAL_KERNELS_CUH_

#include <type_traits>

#include "kernels/cuda/bits_of_y.cuh"
#include "kernels/cuda/eight.cuh"
#include "kernels/cuda/forward.cuh"
#include "kernels/cuda/lane.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pair.cuh"

namespace invact::kernels {

constexpr int kThreads = 128;

template <class F>
__device__ const DecoderTables kDeviceTables = F::kTables;

// Called by a whole block of at least 96 threads, which then synchronises.
template <int kPowers>
__device__ __forceinline__ void Stage(const float (&table)[kPowers][8],
                                      SharedTable* shared) {
  const int power = threadIdx.x / 8, piece = threadIdx.x % 8;
  if (power < 12) {
    reinterpret_cast<float*>(&shared->quarters[power / 4][piece])[power % 4] =
        power < kPowers ? table[power][piece] : 0.0f;
  }
}

// Groups a thread where there are many: GELU's error function takes so long
// that two under way pay, in spite of the registers.
template <class F, class T>
constexpr int kForwardGroups = std::is_same_v<F, Gelu> && sizeof(T) == 2 ? 2
                                                                         : 1;

// Without kValues: the bits alone. With kBitInY they go into y.
template <class F, class T, int kGroups, bool kValues, bool kBitInY>
__global__ void __launch_bounds__(kThreads)
    ForwardKernel(const T* x, T* y, uint8_t* side, int64_t n, bool aligned,
                  float x0) {
  Eight<T> held[kGroups];
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const Group group = ThisGroup<kGroups>(n, g);
    held[g].Load(x + group.first, group.count, aligned);
  }
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const Group group = ThisGroup<kGroups>(n, g);
    if (group.count <= 0) return;
    const unsigned bits = BitsBelow(held[g], x0);
    if constexpr (kValues) {
      ForEach(&held[g],
              [](float value, int) { return CudaForward<F>::Of(value, {}); });
    }
    if constexpr (kBitInY) {
      PutBitsOfDecoded(bits, &held[g]);
    } else {
      side[group.first / 8] = static_cast<uint8_t>(bits);
    }
    if constexpr (kValues) {
      held[g].Store(y + group.first, group.count, aligned);
    }
  }
}

// In 16 bits as many threads as an SM holds: their arithmetic hides memory's
// latency only then.
template <class F, class T, bool kBitInY>
__global__ void __launch_bounds__(kThreads, sizeof(T) == 2 ? 16 : 1)
    BackwardKernel(const T* y, const uint8_t* side, const T* dy, T* dx,
                   int64_t n, bool aligned, DecoderLines lines,
                   float half_cell) {
  constexpr bool kShort = sizeof(T) == 2;
  __shared__ SharedTable table;
  const Group group = ThisGroup<1>(n, 0);
  Eight<T> in, gradient;
  in.Load(y + group.first, group.count, aligned);
  gradient.Load(dy + group.first, group.count, aligned);
  const unsigned bits =
      group.count > 0 ? BranchBits<kBitInY>(&in, side, group.first) : 0;
  if constexpr (kShort) {
    Stage(kDeviceTables<F>.short_slope, &table);
  } else {
    Stage(kDeviceTables<F>.slope, &table);
  }
  __syncthreads();
  if (group.count <= 0) return;
  ForEach(&gradient, [&](float value, int k) {
    return value * Slope < Lane, kShort ? 6 : 8,
           kShort > (ToFloat(in.elements[k]), bits >> k & 1, lines, half_cell,
                     table);
  });
  gradient.Store(dx + group.first, group.count, aligned);
}

// The polynomial's x, then one Newton step where f is steep enough to help.
template <class F, class T>
__global__ void __launch_bounds__(kThreads)
    ReconstructKernel(const T* y, const uint8_t* side, T* x, int64_t n,
                      bool aligned, DecoderLines lines) {
  __shared__ SharedTable arguments, slopes;
  Stage(kDeviceTables<F>.x, &arguments);
  Stage(kDeviceTables<F>.slope, &slopes);
  __syncthreads();
  const Group group = ThisGroup<1>(n, 0);
  if (group.count <= 0) return;
  Eight<T> held;
  held.Load(y + group.first, group.count, aligned);
  const unsigned bits = side[group.first / 8];
  ForEach(&held, [&](float value, int k) {
    const bool bit = bits >> k & 1;
    const float first = Argument<Lane>(value, bit, lines, arguments);
    const float slope = Slope<Lane, 8, false>(value, bit, lines, 0, slopes);
    const bool steep = fabsf(slope) > 0.03f && value < lines.flat_from;
    return steep ? first - (CudaForward<F>::Of(first, {}) - value) / slope
                 : first;
  });
  held.Store(x + group.first, group.count, aligned);
}

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CUDA_POLYNOMIAL_KERNELS_CUH_
