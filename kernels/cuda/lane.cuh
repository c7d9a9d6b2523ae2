// One float in one CUDA thread, as decode.h wants lanes.
#ifndef INVACT_KERNELS_CUDA_LANE_CUH_
#define INVACT_KERNELS_CUDA_LANE_CUH_

#include "kernels/decode.h"

namespace invact::kernels {

// A polynomial table in shared memory, by four powers and then by piece: the
// eight pieces of one quarter fill all 32 banks, so lanes that read different
// pieces never wait for one another.
struct SharedTable {
  float4 quarters[3][8];
};

struct Lane {
  using Float = float;
  using Mask = bool;
  using Index = unsigned;

  static __device__ __forceinline__ float Set(float v) { return v; }
  static __device__ __forceinline__ float Add(float a, float b) {
    return a + b;
  }
  static __device__ __forceinline__ float Sub(float a, float b) {
    return a - b;
  }
  static __device__ __forceinline__ float Mul(float a, float b) {
    return a * b;
  }
  static __device__ __forceinline__ float Div(float a, float b) {
    return a / b;
  }
  static __device__ __forceinline__ float Fma(float a, float b, float c) {
    return __fmaf_rn(a, b, c);
  }
  static __device__ __forceinline__ float Min(float a, float b) {
    return fminf(a, b);
  }
  static __device__ __forceinline__ float Max(float a, float b) {
    return fmaxf(a, b);
  }
  // NaN where b is.
  static __device__ __forceinline__ float MinOrNan(float a, float b) {
    float least;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(least) : "f"(a), "f"(b));
    return least;
  }
  static __device__ __forceinline__ float Abs(float a) { return fabsf(a); }
  static __device__ __forceinline__ bool Less(float a, float b) {
    return a < b;
  }
  static __device__ __forceinline__ bool IsNan(float a) { return a != a; }
  // Threads of one warp would have to wait for one another.
  static __device__ __forceinline__ bool Any(bool) { return true; }
  static __device__ __forceinline__ bool And(bool a, bool b) { return a & b; }
  static __device__ __forceinline__ bool Not(bool a) { return !a; }
  static __device__ __forceinline__ float Select(bool m, float yes, float no) {
    return m ? yes : no;
  }
  // The special function unit's: 1 to 2 float32 last places.
  static __device__ __forceinline__ float Sqrt(float a) {
    float root;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(root) : "f"(a));
    return root;
  }
  static __device__ __forceinline__ float Log2(float a) {
    float log;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(log) : "f"(a));
    return log;
  }
  // Of 1.5 * 2^23 + 0 to 7: the difference disappears in the address.
  static __device__ __forceinline__ unsigned LowThreeBits(float a) {
    return __float_as_uint(a) - 0x4b400000u;
  }
  static __device__ __forceinline__ float Lookup(const SharedTable& table,
                                                 int power, unsigned piece) {
    const float4 four = table.quarters[power / 4][piece];
    const int within = power % 4;
    return within == 0   ? four.x
           : within == 1 ? four.y
           : within == 2 ? four.z
                         : four.w;
  }
};

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CUDA_LANE_CUH_
