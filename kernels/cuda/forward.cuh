// The forward functions on CUDA. Those that say so are word for word as
// PyTorch's CUDA kernels have them: the same compiler gives the same bits.
#ifndef INVACT_KERNELS_CUDA_FORWARD_CUH_
#define INVACT_KERNELS_CUDA_FORWARD_CUH_

#include <cmath>

#include "kernels/cuda/lane.cuh"
#include "kernels/functions.h"

namespace invact::kernels {

// CUDA's own functions in place of elementary.h's polynomials.
template <>
__device__ __forceinline__ float Exp<Lane>(float x) {
  return expf(x);
}
template <>
__device__ __forceinline__ float OneMinusExp<Lane>(float z) {
  return -expm1f(-(z < 0 ? 0 : z));
}
template <>
__device__ __forceinline__ float LogOnePlusExp<Lane>(float z) {
  return fmaxf(z, 0) + log1pf(expf(-fabsf(z)));
}
// About -87 for 0, as elsewhere.
template <>
__device__ __forceinline__ float LogExpMinusOne<Lane>(float y) {
  return y + logf(fmaxf(OneMinusExp<Lane>(y), 0x1p-126f));
}

template <class F>
struct CudaForward {
  static constexpr bool kExact = false;
  static __device__ __forceinline__ float Of(float x, const Scalars& scalars) {
    return F::template Forward<Lane>(x, scalars);
  }
};

template <>
struct CudaForward<Gelu> {
  static constexpr bool kExact = true;
  static __device__ __forceinline__ float Of(float x, const Scalars&) {
    constexpr float kAlpha = M_SQRT1_2;
    return x * 0.5f * (1.0f + erff(x * kAlpha));
  }
};

template <>
struct CudaForward<GeluTanh> {
  static constexpr bool kExact = true;
  static __device__ __forceinline__ float Of(float x, const Scalars&) {
    constexpr float kBeta = M_SQRT2 * M_2_SQRTPI * 0.5f;
    constexpr float kKappa = 0.044715;
    const float x_cube = x * x * x;
    const float inner = kBeta * (x + kKappa * x_cube);
    return 0.5f * x * (1.0f + tanhf(inner));
  }
};

template <>
struct CudaForward<Silu> {
  static constexpr bool kExact = true;
  static __device__ __forceinline__ float Of(float x, const Scalars&) {
    return x / (1.0f + expf(-x));
  }
};

template <>
struct CudaForward<Mish> {
  static constexpr bool kExact = true;
  static __device__ __forceinline__ float Of(float x, const Scalars&) {
    return x * tanhf(log1pf(expf(x)));
  }
};

// NaN where x is, and above the largest float over 6, infinity.
template <>
struct CudaForward<Hardswish> {
  static constexpr bool kExact = true;
  static __device__ __forceinline__ float Of(float x, const Scalars&) {
    const float low = x + 3.0f < 0.0f ? 0.0f : x + 3.0f;
    const float gate = 6.0f < low ? 6.0f : low;
    return x * gate * (1.0f / 6.0f);
  }
};

template <>
struct CudaForward<LeakyRelu> {
  static constexpr bool kExact = true;
  static __device__ __forceinline__ float Of(float x, const Scalars& scalars) {
    return x > 0 ? x : x * scalars.values[0];
  }
};

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CUDA_FORWARD_CUH_
