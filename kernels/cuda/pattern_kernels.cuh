// Forward and backward in bfloat16 by tables in shared memory, for whichever
// function the tables are of. Two elements at a time in one register: at about
// a dozen instructions an element the kernels wait for memory alone. What a
// thread reads of the tensor is under way while its block fetches the table.
#ifndef INVACT_KERNELS_CUDA_PATTERN_KERNELS_CUH_
#define INVACT_KERNELS_CUDA_PATTERN_KERNELS_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/eight.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pair.cuh"
#include "kernels/kernel_api.h"
#include "kernels/pattern_table.h"

namespace invact::kernels {

constexpr int kForwardThreads = 512;
constexpr int kBackwardThreads = 1024;

// The backward's runs, thirteen octaves of y: for GELU 2^-11 to 4 above zero,
// 2^-16 to 2^-3 below. Entries are float16, whose rounding adds less than 1 %
// to the error at the floor.
constexpr int kSlopeRun = 13 * 128;
constexpr int kSlopeBytes = 4 * kSlopeRun * sizeof(__half);

// The forward's two runs, by sign: y of 2^-13 <= |x| < 2^6, as bits. Other x
// are looked up one by one in device memory.
constexpr int kOutputFirst = (127 - 13) * 128;
constexpr int kOutputRun = 19 * 128;
constexpr int kOutputBytes = kOutputRun * sizeof(uint16_t);

// Tables in device memory, and where the function's own numbers stand in them.
struct PatternView {
  const uint16_t* outputs;  // y of all INVACT_PATTERNS
  const uint4* slopes;      // kSlopeBytes
  unsigned below;           // a pair of -layout.first[0], modulo 2^16
  unsigned by_sign;         // layout.first[0] - layout.first[1]
  float x0;                 // left is x < x0
};

inline PatternView ViewOf(const PatternLayout& layout, float x0,
                          const uint16_t* outputs, const uint4* slopes) {
  return {outputs, slopes, (0x10000u - layout.first[0]) * kBoth,
          static_cast<unsigned>(layout.first[0] - layout.first[1]), x0};
}

__device__ __forceinline__ unsigned SizeBits(unsigned pair) {
  return pair & (0x7fff * kBoth);
}
__device__ __forceinline__ unsigned SignBits(unsigned pair) {
  return pair >> 15 & kBoth;
}

// What lies `byte` bytes into a table in shared memory.
template <class T>
__device__ __forceinline__ T At(const uint4* table, unsigned byte) {
  return *reinterpret_cast<const T*>(reinterpret_cast<const char*>(table) +
                                     byte);
}

// y of eight elements in place of x. All but a few come from the shared table,
// so that one branch serves all eight.
__device__ __forceinline__ void Outputs(unsigned (&pairs)[4],
                                        const uint16_t* outputs,
                                        const uint4* table) {
  unsigned found[4], outside[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const unsigned size = SizeBits(pairs[k]);
    const unsigned within = __viaddmin_s16x2_relu(
        size, (0x10000u - kOutputFirst) * kBoth, (kOutputRun - 1) * kBoth);
    const unsigned at =
        within * sizeof(uint16_t) + SignBits(pairs[k]) * kOutputBytes;
    found[k] = __byte_perm(At<uint16_t>(table, at & 0xffff),
                           At<uint16_t>(table, at >> 16), 0x5410);
    // Not zero in a half whose x is outside of its run.
    outside[k] = size ^ (within + kOutputFirst * kBoth);
  }
  if ((outside[0] | outside[1] | outside[2] | outside[3]) != 0) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if ((outside[k] & 0xffff) != 0) {
        found[k] = __byte_perm(found[k], outputs[pairs[k] & 0xffff], 0x3254);
      }
      if (outside[k] >> 16 != 0) {
        found[k] = __byte_perm(found[k], outputs[pairs[k] >> 16], 0x5410);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < 4; ++k) pairs[k] = found[k];
}

// dx of two elements; `left` has their branch bits in bits 0 and 16.
__device__ __forceinline__ unsigned SlopeTimes(unsigned dy, unsigned y,
                                               unsigned left,
                                               const PatternView& view,
                                               const uint4* table) {
  using Two = Pair<__nv_bfloat16>;
  constexpr unsigned kRunBytes = kSlopeRun * sizeof(__half);
  const unsigned sign = SignBits(y);
  const unsigned within = __viaddmin_s16x2_relu(
      SizeBits(y), view.below + sign * view.by_sign, (kSlopeRun - 1) * kBoth);
  const unsigned at =
      within * sizeof(__half) + sign * kRunBytes + left * (2 * kRunBytes);
  const float2 gradient = Two::ToFloats(dy);
  const unsigned product = Two::FromFloats(
      {__half2float(At<__half>(table, at & 0xffff)) * gradient.x,
       __half2float(At<__half>(table, at >> 16)) * gradient.y});
  // NaN where y is; else infinity, and the lesser of it and the product is the
  // product.
  const __nv_bfloat162 most =
      __hmax2_nan(Two::Of(y), __float2bfloat162_rn(INFINITY));
  return Two::Bits(__hmin2_nan(Two::Of(product), most));
}

// `side` is null where the function has no branches, and where y as it was
// learnt has them already.
__global__ void __launch_bounds__(kForwardThreads)
    PatternForwardKernel(const __nv_bfloat16* x, __nv_bfloat16* y,
                         uint8_t* side, int64_t n, bool aligned,
                         PatternView view) {
  constexpr int kRunWords = kOutputBytes / sizeof(uint4);
  __shared__ uint4 table[2 * kRunWords];
  const Group group = ThisGroup<1>(n, 0);
  Eight<__nv_bfloat16> held;
  held.Load(x + group.first, group.count, aligned);
  constexpr int kWord = sizeof(uint4) / sizeof(uint16_t);
  const auto* const outputs =
      reinterpret_cast<const uint4*>(view.outputs) + kOutputFirst / kWord;
#pragma unroll
  for (int i = threadIdx.x; i < 2 * kRunWords; i += kForwardThreads) {
    table[i] = outputs[i < kRunWords ? i : i - kRunWords + 0x8000 / kWord];
  }
  __syncthreads();
  if (group.count <= 0) return;
  if (side != nullptr) {
    side[group.first / 8] = static_cast<uint8_t>(BitsBelow(held, view.x0));
  }
  Outputs(*reinterpret_cast<unsigned(*)[4]>(held.elements), view.outputs,
          table);
  held.Store(y + group.first, group.count, aligned);
}

// With kBitInY a pair of y has its own bits: 0 but where y is negative. (A NaN
// gives NaN whatever its bit.)
template <bool kBitInY, int kThreads>
__global__ void __launch_bounds__(kThreads)
    PatternBackwardKernel(const __nv_bfloat16* y, const uint8_t* side,
                          const __nv_bfloat16* dy, __nv_bfloat16* dx, int64_t n,
                          bool aligned, PatternView view) {
  __shared__ uint4 table[kSlopeBytes / sizeof(uint4)];
  const Group group = ThisGroup<1>(n, 0);
  Eight<__nv_bfloat16> in, gradient;
  in.Load(y + group.first, group.count, aligned);
  gradient.Load(dy + group.first, group.count, aligned);
  unsigned bits = 0;
  if constexpr (!kBitInY) {
    if (side != nullptr && group.count > 0) bits = side[group.first / 8];
  }
#pragma unroll
  for (unsigned i = threadIdx.x; i < kSlopeBytes / sizeof(uint4);
       i += kThreads) {
    table[i] = view.slopes[i];
  }
  __syncthreads();
  if (group.count <= 0) return;
  // Four bits twice, 15 apart, so that neighbours lie 16 apart.
  const unsigned spread[2] = {(bits & 15) * 0x8001u, (bits >> 4) * 0x8001u};
  const unsigned* const ys = reinterpret_cast<const unsigned*>(in.elements);
  unsigned* const dys = reinterpret_cast<unsigned*>(gradient.elements);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const unsigned left =
        kBitInY ? ys[k] & SignBits(ys[k]) : spread[k / 2] >> k % 2 * 2 & kBoth;
    dys[k] = SlopeTimes(dys[k], ys[k], left, view, table);
  }
  gradient.Store(dx + group.first, group.count, aligned);
}

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CUDA_PATTERN_KERNELS_CUH_
