#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/bits/bits.h"
#include "kernels/bits/eight_bits.h"

namespace invact::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kWide = 32;  // elements a thread where everything is aligned

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

// kElements a thread: kWide by wide accesses, or 8 one by one.
template <int kElements>
__global__ void __launch_bounds__(kThreads)
    PackKernel(const uint8_t* bytes, uint8_t* bits, int64_t n) {
  const int64_t i =
      (blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x) * kElements;
  if (i >= n) return;
  const int64_t end = n - i < kElements ? n : i + kElements;
  if (kElements == 8 || end - i < kElements) {
    PackTail(bytes, bits, i, end);
    return;
  }
  const auto* from = reinterpret_cast<const Sixteen*>(bytes + i);
  const Sixteen a = from[0], b = from[1];
  *reinterpret_cast<uchar4*>(bits + i / 8) =
      make_uchar4(PackEight(a.eight[0]), PackEight(a.eight[1]),
                  PackEight(b.eight[0]), PackEight(b.eight[1]));
}

template <int kElements>
__global__ void __launch_bounds__(kThreads)
    UnpackKernel(const uint8_t* bits, uint8_t* bytes, int64_t n) {
  const int64_t i =
      (blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x) * kElements;
  if (i >= n) return;
  const int64_t end = n - i < kElements ? n : i + kElements;
  if (kElements == 8 || end - i < kElements) {
    UnpackTail(bits, bytes, i, end);
    return;
  }
  const uchar4 set = *reinterpret_cast<const uchar4*>(bits + i / 8);
  auto* to = reinterpret_cast<Sixteen*>(bytes + i);
  to[0] = {{UnpackEight(set.x), UnpackEight(set.y)}};
  to[1] = {{UnpackEight(set.z), UnpackEight(set.w)}};
}

using Kernel = void (*)(const uint8_t*, uint8_t*, int64_t);

int Run(Kernel wide, Kernel narrow, bool aligned, void* stream,
        const void* from, void* to, int64_t n) {
  if (n < 0) return cudaErrorInvalidValue;
  if (n == 0) return cudaSuccess;
  const int64_t elements = int64_t{kThreads} * (aligned ? kWide : 8);
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
  return Run(PackKernel<kWide>, PackKernel<8>, Aligned(bytes, bits), stream,
             bytes, bits, n);
}

extern "C" int invact_unpack_bits_cuda(void* stream, const void* bits,
                                       void* bytes, int64_t n) {
  using namespace invact::kernels;
  return Run(UnpackKernel<kWide>, UnpackKernel<8>, Aligned(bytes, bits), stream,
             bits, bytes, n);
}
