// The kernels of functions in closed form: y, dx and x by functions.h alone.
#ifndef INVACT_KERNELS_CUDA_CLOSED_KERNELS_CUH_
#define INVACT_KERNELS_CUDA_CLOSED_KERNELS_CUH_

#include "kernels/cuda/bits_of_y.cuh"
#include "kernels/cuda/eight.cuh"
#include "kernels/cuda/forward.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pair.cuh"

namespace invact::kernels {

constexpr int kClosedThreads = 128;

// 0 where F has no bits.
template <class F, bool kBitInY, class T>
__device__ __forceinline__ unsigned BitsOf(Eight<T>* y, const uint8_t* side,
                                           const Group& group) {
  if constexpr (F::kSideBits > 0) {
    return BranchBits<kBitInY>(y, side, group.first);
  } else {
    return 0;
  }
}

// Without kValues: the bits alone. With kBitInY they go into y.
template <class F, class T, bool kValues, bool kBitInY>
__global__ void __launch_bounds__(kClosedThreads)
    ClosedForwardKernel(const T* x, T* y, uint8_t* side, int64_t n,
                        bool aligned, Scalars scalars) {
  const Group group = ThisGroup<1>(n, 0);
  if (group.count <= 0) return;
  Eight<T> held;
  held.Load(x + group.first, group.count, aligned);
  unsigned bits = 0;
  if constexpr (F::kSideBits > 0) {
    constexpr float kMinimum = F::kMinimum;
    bits = BitsBelow(held, kMinimum);
  }
  if constexpr (kValues) {
    ForEach(&held, [&](float value, int) {
      return CudaForward<F>::Of(value, scalars);
    });
  }
  if constexpr (F::kSideBits > 0) {
    if constexpr (kBitInY) {
      PutBits(bits, &held);
    } else {
      side[group.first / 8] = static_cast<uint8_t>(bits);
    }
  }
  if constexpr (kValues) held.Store(y + group.first, group.count, aligned);
}

template <class F, class T, bool kBitInY>
__global__ void __launch_bounds__(kClosedThreads)
    ClosedBackwardKernel(const T* y, const uint8_t* side, const T* dy, T* dx,
                         int64_t n, bool aligned, Scalars scalars) {
  const Group group = ThisGroup<1>(n, 0);
  if (group.count <= 0) return;
  Eight<T> in, gradient;
  in.Load(y + group.first, group.count, aligned);
  gradient.Load(dy + group.first, group.count, aligned);
  const unsigned bits = BitsOf<F, kBitInY>(&in, side, group);
  scalars.cells = kCellsOf<kBitInY, T>;
  ForEach(&gradient, [&](float value, int k) {
    return F::template Gradient<Lane, kDtypeOf<T>>(
        ToFloat(in.elements[k]), bits >> k & 1, value, scalars);
  });
  gradient.Store(dx + group.first, group.count, aligned);
}

template <class F, class T>
__global__ void __launch_bounds__(kClosedThreads)
    ClosedReconstructKernel(const T* y, const uint8_t* side, T* x, int64_t n,
                            bool aligned, Scalars scalars) {
  const Group group = ThisGroup<1>(n, 0);
  if (group.count <= 0) return;
  Eight<T> held;
  held.Load(y + group.first, group.count, aligned);
  const unsigned bits = BitsOf<F, false>(&held, side, group);
  ForEach(&held, [&](float value, int k) {
    return F::template Argument<Lane, kDtypeOf<T>>(value, bits >> k & 1,
                                                   scalars);
  });
  held.Store(x + group.first, group.count, aligned);
}

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CUDA_CLOSED_KERNELS_CUH_
