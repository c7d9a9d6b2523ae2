// How the kernels of this library are spread over a tensor: a thread has one or
// more groups of eight elements, a block a range of neighbouring groups; blocks
// are many and short, since a card's memory is fastest when all that is under
// way lies close together.
#ifndef INVACT_KERNELS_CUDA_LAUNCH_CUH_
#define INVACT_KERNELS_CUDA_LAUNCH_CUH_

#include <cuda_runtime.h>

#include <cstdint>

namespace invact::kernels {

struct Group {
  int64_t first;  // element
  int64_t count;  // elements from there to the end of the tensor
};

// The groups of a thread stand a block's width apart, so that neighbouring
// threads touch neighbouring memory each time.
template <int kGroups>
__device__ __forceinline__ Group ThisGroup(int64_t n, int number) {
  const int64_t first =
      ((blockIdx.x * static_cast<int64_t>(kGroups) + number) * blockDim.x +
       threadIdx.x) *
      8;
  return {first, n - first};
}

// True where 16-byte accesses are allowed.
inline bool Aligned(const void* a, const void* b = nullptr,
                    const void* c = nullptr) {
  return (reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b) |
          reinterpret_cast<uintptr_t>(c)) %
             16 ==
         0;
}

// Launches `kernel`, of kGroups groups a thread, over n > 0 elements and tells
// what the launch said.
template <int kGroups, class... Parameters, class... Arguments>
int Launch(void (*kernel)(Parameters...), int threads, int64_t n, void* stream,
           Arguments... arguments) {
  const int64_t elements = int64_t{threads} * kGroups * 8;
  const int64_t blocks = n / elements + (n % elements != 0);
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  kernel<<<static_cast<unsigned>(blocks), threads, 0,
           static_cast<cudaStream_t>(stream)>>>(arguments...);
  return cudaGetLastError();
}

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CUDA_LAUNCH_CUH_
