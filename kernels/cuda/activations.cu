// The CUDA kernels and their registration: one thread for one or two groups of
// eight elements and their bytes of bits, one pass over memory, no
// synchronisation, no allocation.
#include <cuda_runtime.h>

#include <type_traits>

#include "kernels/cuda/eight.cuh"
#include "kernels/cuda/lane.cuh"
#include "kernels/kernel_api.h"

namespace invact::kernels {
namespace {

constexpr int kThreads = 128;

// Groups of eight a thread: 32 bytes under way from each array keep an H100's
// memory busy; with 16 bytes it idles for a twentieth of the time.
template <class T>
constexpr int kGroups = sizeof(T) == 4 ? 1 : 2;

__device__ const DecoderTables kDeviceTables[3] = {kGeluTables, kGeluTanhTables,
                                                   kSiluTables};

template <class F>
__device__ __forceinline__ const DecoderTables& DeviceTables() {
  return kDeviceTables[std::is_same_v<F, Gelu>       ? 0
                       : std::is_same_v<F, GeluTanh> ? 1
                                                     : 2];
}

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

// The step of T at ymin is 2^(exponent - mantissa bits).
template <class F, class T>
constexpr float HalfCell() {
  return (F::kTables.lines.ymin_high < -0.25f ? 0.125f : 0.0625f) /
         (std::is_same_v<T, __nv_bfloat16> ? 1 << 7 : 1 << 10);
}

struct Group {
  int64_t first;  // element
  int64_t count;  // elements from there to the end of the tensor
};

// The groups of a thread stand a block's width apart, so that neighbouring
// threads touch neighbouring memory each time.
template <class T>
__device__ __forceinline__ Group ThisGroup(int64_t n, int number = 0) {
  const int64_t first =
      ((blockIdx.x * static_cast<int64_t>(kGroups<T>) + number) * kThreads +
       threadIdx.x) *
      8;
  return {first, n - first};
}

// Without kValues: the bits alone.
template <class F, class T, bool kValues>
__global__ void __launch_bounds__(kThreads)
    ForwardKernel(const T* x, T* y, uint8_t* side, int64_t n, bool aligned,
                  DecoderLines lines) {
  Eight<T> held[kGroups<T>];
#pragma unroll
  for (int g = 0; g < kGroups<T>; ++g) {
    const Group group = ThisGroup<T>(n, g);
    held[g].Load(x + group.first, group.count, aligned);
  }
#pragma unroll
  for (int g = 0; g < kGroups<T>; ++g) {
    const Group group = ThisGroup<T>(n, g);
    if (group.count <= 0) return;
    unsigned bits = 0;
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      const float value = ToFloat(held[g].elements[k]);
      bits |= static_cast<unsigned>(value < lines.x0) << k;
      if constexpr (kValues) {
        FromFloat(F::Forward(value), &held[g].elements[k]);
      }
    }
    if constexpr (kValues) held[g].Store(y + group.first, group.count, aligned);
    side[group.first / 8] = static_cast<uint8_t>(bits);
  }
}

template <class F, class T>
__global__ void __launch_bounds__(kThreads)
    BackwardKernel(const T* y, const uint8_t* side, const T* dy, T* dx,
                   int64_t n, bool aligned, DecoderLines lines,
                   float half_cell) {
  __shared__ SharedTable table;
  Eight<T> in[kGroups<T>], gradient[kGroups<T>];
  unsigned bits[kGroups<T>] = {};
#pragma unroll
  for (int g = 0; g < kGroups<T>; ++g) {
    const Group group = ThisGroup<T>(n, g);
    in[g].Load(y + group.first, group.count, aligned);
    gradient[g].Load(dy + group.first, group.count, aligned);
    if (group.count > 0) bits[g] = side[group.first / 8];
  }
  if constexpr (sizeof(T) == 4) {
    Stage(DeviceTables<F>().slope, &table);
  } else {
    Stage(DeviceTables<F>().short_slope, &table);
  }
  __syncthreads();
#pragma unroll
  for (int g = 0; g < kGroups<T>; ++g) {
    const Group group = ThisGroup<T>(n, g);
    if (group.count <= 0) return;
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      const float value = ToFloat(in[g].elements[k]);
      const bool bit = bits[g] >> k & 1;
      float slope;
      if constexpr (sizeof(T) == 4) {
        slope = Slope<Lane, 8, false>(value, bit, lines, 0, table);
      } else {
        slope = Slope<Lane, 6, true>(value, bit, lines, half_cell, table);
      }
      FromFloat(slope * ToFloat(gradient[g].elements[k]),
                &gradient[g].elements[k]);
    }
    gradient[g].Store(dx + group.first, group.count, aligned);
  }
}

// The polynomial's x, then one Newton step where f is steep enough to help.
template <class F, class T>
__global__ void __launch_bounds__(kThreads)
    ReconstructKernel(const T* y, const uint8_t* side, T* x, int64_t n,
                      bool aligned, DecoderLines lines) {
  __shared__ SharedTable arguments, slopes;
  Stage(DeviceTables<F>().x, &arguments);
  Stage(DeviceTables<F>().slope, &slopes);
  __syncthreads();
  for (int g = 0; g < kGroups<T>; ++g) {
    const Group group = ThisGroup<T>(n, g);
    if (group.count <= 0) return;
    Eight<T> held;
    held.Load(y + group.first, group.count, aligned);
    const unsigned bits = side[group.first / 8];
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      const float value = ToFloat(held.elements[k]);
      const bool bit = bits >> k & 1;
      const float first = Argument<Lane>(value, bit, lines, arguments);
      const float slope = Slope<Lane, 8, false>(value, bit, lines, 0, slopes);
      const bool steep = fabsf(slope) > 0.08f && value < lines.flat_from;
      FromFloat(steep ? first - (F::Forward(first) - value) / slope : first,
                &held.elements[k]);
    }
    held.Store(x + group.first, group.count, aligned);
  }
}

bool Aligned(const void* a, const void* b = nullptr, const void* c = nullptr) {
  return (reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b) |
          reinterpret_cast<uintptr_t>(c)) %
             16 ==
         0;
}

// Launches `kernel` over n elements and tells what the launch said.
template <class T, class... Parameters, class... Arguments>
int Launch(void (*kernel)(Parameters...), int64_t n, void* stream,
           Arguments... arguments) {
  constexpr int64_t kBlock = int64_t{kThreads} * kGroups<T> * 8;
  const int64_t blocks = n / kBlock + (n % kBlock != 0);
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  kernel<<<static_cast<unsigned>(blocks), kThreads, 0,
           static_cast<cudaStream_t>(stream)>>>(arguments...);
  return cudaGetLastError();
}

// Calls `body` with a value of the element type.
template <class Body>
int With(int dtype, Body body) {
  switch (dtype) {
    case INVACT_F32:
      return body(float{});
    case INVACT_BF16:
      return body(__nv_bfloat16{});
    case INVACT_F16:
      return body(__half{});
    default:
      return cudaErrorInvalidValue;
  }
}

template <class F>
struct Functions {
  static int Forward(const invact_call* call, const void* x, void* y,
                     void* side, int64_t n) {
    if (!call || n < 0 || (n > 0 && (!x || !y || !side)))
      return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    return With(call->dtype, [=](auto type) {
      using T = decltype(type);
      return Launch<T>(ForwardKernel<F, T, true>, n, call->stream,
                       static_cast<const T*>(x), static_cast<T*>(y),
                       static_cast<uint8_t*>(side), n, Aligned(x, y),
                       F::kTables.lines);
    });
  }

  static int Mark(const invact_call* call, const void* x, const void*,
                  void* side, int64_t n) {
    if (!call || n < 0 || (n > 0 && (!x || !side)))
      return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    return With(call->dtype, [=](auto type) {
      using T = decltype(type);
      return Launch<T>(ForwardKernel<F, T, false>, n, call->stream,
                       static_cast<const T*>(x), static_cast<T*>(nullptr),
                       static_cast<uint8_t*>(side), n, Aligned(x),
                       F::kTables.lines);
    });
  }

  static int Backward(const invact_call* call, const void* y, const void* side,
                      const void* dy, void* dx, int64_t n) {
    if (!call || n < 0 || (n > 0 && (!y || !side || !dy || !dx))) {
      return cudaErrorInvalidValue;
    }
    if (n == 0) return cudaSuccess;
    return With(call->dtype, [=](auto type) {
      using T = decltype(type);
      return Launch<T>(BackwardKernel<F, T>, n, call->stream,
                       static_cast<const T*>(y),
                       static_cast<const uint8_t*>(side),
                       static_cast<const T*>(dy), static_cast<T*>(dx), n,
                       Aligned(y, dy, dx), F::kTables.lines, HalfCell<F, T>());
    });
  }

  static int Reconstruct(const invact_call* call, const void* y,
                         const void* side, void* x, int64_t n) {
    if (!call || n < 0 || (n > 0 && (!y || !side || !x)))
      return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    return With(call->dtype, [=](auto type) {
      using T = decltype(type);
      return Launch<T>(ReconstructKernel<F, T>, n, call->stream,
                       static_cast<const T*>(y),
                       static_cast<const uint8_t*>(side), static_cast<T*>(x), n,
                       Aligned(y, x), F::kTables.lines);
    });
  }

  static constexpr invact_activation Activation() {
    const Bounds& bounds = F::kBounds;
    invact_activation made = {};
    made.size = sizeof(invact_activation);
    made.device = INVACT_CUDA;
    made.op = bounds.op;
    made.variant = bounds.variant;
    made.dtypes = 1u << INVACT_F32 | 1u << INVACT_BF16 | 1u << INVACT_F16;
    made.side_bits = 1;
    made.forward_exact = made.dtypes;
    for (int dtype = 0; dtype < INVACT_DTYPES; ++dtype) {
      made.error_max[dtype] = bounds.error_max[dtype];
      made.error_rms[dtype] = bounds.error_rms[dtype];
    }
    made.forward = Forward;
    made.backward = Backward;
    made.reconstruct = Reconstruct;
    made.mark = Mark;
    return made;
  }
};

}  // namespace
}  // namespace invact::kernels

extern "C" __attribute__((visibility("default"))) int invact_register_kernels(
    const invact_registry* registry) {
  using invact::kernels::Functions;
  static constexpr invact_activation kSet[] = {
      Functions<invact::kernels::Gelu>::Activation(),
      Functions<invact::kernels::GeluTanh>::Activation(),
      Functions<invact::kernels::Silu>::Activation()};
  if (!registry || registry->size < sizeof(invact_registry) ||
      registry->abi != INVACT_KERNEL_ABI || !registry->add) {
    return INVACT_BAD_ARGUMENT;
  }
  for (const invact_activation& activation : kSet) {
    registry->add(registry->ctx, &activation);
  }
  return 0;
}
