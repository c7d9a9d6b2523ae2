#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/bits/bits.h"
#include "kernels/bits/eight_bits.h"

namespace invact::kernels {
namespace {

constexpr int kThreads = 256;
// Where everything is aligned a thread has kGroups times kWide elements. What
// is written lies a block's width apart, so that the threads of a warp write
// neighbouring sixteen bytes.
constexpr int kWide = 16;
constexpr int kGroups = 2;
constexpr int kNarrow = 8;  // elements a thread elsewhere, one by one

struct alignas(16) Sixteen {
  uint64_t eight[2];
};

__device__ void PackTail(const uint8_t* bytes, uint8_t* bits, int64_t first,
                         int64_t n) {
  for (int64_t i = first; i < n; i += 8) {
    uint64_t word = 0;
    for (int k = 0; k < 8 && i + k < n; ++k) {
      word |= uint64_t{bytes[i + k]} << (8 * k);
    }
    bits[i / 8] = PackEight(word);
  }
}

__device__ void UnpackTail(const uint8_t* bits, uint8_t* bytes, int64_t first,
                           int64_t n) {
  for (int64_t i = first; i < n; ++i) bytes[i] = bits[i / 8] >> (i % 8) & 1;
}

__device__ int64_t FirstOf(int elements_a_block, int elements_a_thread) {
  return blockIdx.x * static_cast<int64_t>(elements_a_block) +
         threadIdx.x * elements_a_thread;
}

__global__ void __launch_bounds__(kThreads)
    PackWide(const uint8_t* bytes, uint8_t* bits, int64_t n) {
  const int64_t i = FirstOf(kThreads * kWide * kGroups, kWide * kGroups);
  if (i + kWide * kGroups > n) {
    PackTail(bytes, bits, i, n);
    return;
  }
  const auto* from = reinterpret_cast<const Sixteen*>(bytes + i);
  const Sixteen a = from[0], b = from[1];
  *reinterpret_cast<uchar4*>(bits + i / 8) =
      make_uchar4(PackEight(a.eight[0]), PackEight(a.eight[1]),
                  PackEight(b.eight[0]), PackEight(b.eight[1]));
}

__global__ void __launch_bounds__(kThreads)
    PackNarrow(const uint8_t* bytes, uint8_t* bits, int64_t n) {
  const int64_t i = FirstOf(kThreads * kNarrow, kNarrow);
  if (i < n) PackTail(bytes, bits, i, n - i < kNarrow ? n : i + kNarrow);
}

__global__ void __launch_bounds__(kThreads)
    UnpackWide(const uint8_t* bits, uint8_t* bytes, int64_t n) {
  const int64_t first = FirstOf(kThreads * kWide * kGroups, kWide);
#pragma unroll
  for (int group = 0; group < kGroups; ++group) {
    const int64_t i = first + group * kThreads * kWide;
    if (i + kWide <= n) {
      const uchar2 set = *reinterpret_cast<const uchar2*>(bits + i / 8);
      *reinterpret_cast<Sixteen*>(bytes + i) = {
          {UnpackEight(set.x), UnpackEight(set.y)}};
    } else if (i < n) {
      UnpackTail(bits, bytes, i, n);
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    UnpackNarrow(const uint8_t* bits, uint8_t* bytes, int64_t n) {
  const int64_t i = FirstOf(kThreads * kNarrow, kNarrow);
  if (i < n) UnpackTail(bits, bytes, i, n - i < kNarrow ? n : i + kNarrow);
}

using Kernel = void (*)(const uint8_t*, uint8_t*, int64_t);

int Run(Kernel wide, Kernel narrow, bool aligned, void* stream,
        const void* from, void* to, int64_t n) {
  if (n < 0) return cudaErrorInvalidValue;
  if (n == 0) return cudaSuccess;
  const int64_t elements =
      int64_t{kThreads} * (aligned ? kWide * kGroups : kNarrow);
  const int64_t blocks = n / elements + (n % elements != 0);
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  (aligned ? wide : narrow)<<<static_cast<unsigned>(blocks), kThreads, 0,
                              static_cast<cudaStream_t>(stream)>>>(
      static_cast<const uint8_t*>(from), static_cast<uint8_t*>(to), n);
  return cudaGetLastError();
}

bool Aligned(const void* bytes, const void* bits) {
  return reinterpret_cast<uintptr_t>(bytes) % 16 == 0 &&
         reinterpret_cast<uintptr_t>(bits) % 4 == 0;
}

}  // namespace
}  // namespace invact::kernels

extern "C" int invact_pack_bits_cuda(void* stream, const void* bytes,
                                     void* bits, int64_t n) {
  using namespace invact::kernels;
  return Run(PackWide, PackNarrow, Aligned(bytes, bits), stream, bytes, bits,
             n);
}

extern "C" int invact_unpack_bits_cuda(void* stream, const void* bits,
                                       void* bytes, int64_t n) {
  using namespace invact::kernels;
  return Run(UnpackWide, UnpackNarrow, Aligned(bytes, bits), stream, bits,
             bytes, n);
}
