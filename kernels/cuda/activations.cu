// The activations of the CUDA library and their registration: bfloat16 by
// tables, the other dtypes and closed forms by arithmetic. One pass over
// memory, no synchronisation, no allocation.
#include <cuda_runtime.h>

#include <new>
#include <type_traits>
#include <utility>

#include "kernels/cuda/closed_kernels.cuh"
#include "kernels/cuda/patterns.h"
#include "kernels/cuda/polynomial_kernels.cuh"
#include "kernels/kernel_api.h"

namespace invact::kernels {
namespace {

// With a value of the type of an arithmetic kernel.
template <class Body>
int WithArithmetic(int dtype, Body body) {
  return dtype == INVACT_F32 ? body(float{}) : body(__half{});
}

bool Known(int dtype) {
  return dtype == INVACT_F32 || dtype == INVACT_BF16 || dtype == INVACT_F16;
}

template <class... Pointers>
bool Good(const invact_call* call, int64_t n, Pointers... pointers) {
  return call != nullptr && n >= 0 && Known(call->dtype) &&
         (n == 0 || ((pointers != nullptr) && ...));
}

// Whether the bits are in y: `side` is not used then. Never of an F whose bits
// can't be there.
template <class F>
bool InY(const invact_call& call) {
  return F::kBitOfNegatives && (call.flags & INVACT_BIT_IN_Y) != 0;
}

// Calls `body` with the truth of that as a constant: kernels for bits in y are
// built for such F only.
template <class F, class Body>
int WithPlace(const invact_call& call, Body body) {
  if constexpr (F::kBitOfNegatives) {
    if (InY<F>(call)) return body(std::true_type{});
  }
  return body(std::false_type{});
}

// What both kinds of functions have in their registration.
template <class F>
constexpr invact_activation OnCuda() {
  invact_activation made = Described<F>(INVACT_CUDA);
  if (CudaForward<F>::kExact) {
    made.forward_exact = made.dtypes;
    if (F::kSideBits > 0) made.flags |= INVACT_FORWARD_BY_FORMULA;
  }
  if (F::kBitOfNegatives) made.flags |= INVACT_SERVES_BIT_IN_Y;
  return made;
}

// Of a function in closed form.
template <class F>
struct ClosedFunctions {
  static bool Served(const invact_call* call, const void* side, int64_t n) {
    return call != nullptr && (F::kScalars == 0 || call->parameters) &&
           (F::kSideBits == 0 || n == 0 || side != nullptr);
  }
  static bool ServedInY(const invact_call* call, const void* side, int64_t n) {
    return (call != nullptr && InY<F>(*call)) || Served(call, side, n);
  }

  static int Accepts(const double* scalars) { return F::Accepts(scalars); }

  static int Forward(const invact_call* call, const void* x, void* y,
                     void* side, int64_t n) {
    if (!Good(call, n, x, y) || !ServedInY(call, side, n)) {
      return cudaErrorInvalidValue;
    }
    if (n == 0) return cudaSuccess;
    return WithElement(call->dtype, [=](auto type) {
      using T = decltype(type);
      return WithPlace<F>(*call, [=](auto in_y) {
        return Launch<1>(
            ClosedForwardKernel<F, T, true, in_y.value>, kClosedThreads, n,
            call->stream, static_cast<const T*>(x), static_cast<T*>(y),
            static_cast<uint8_t*>(side), n, Aligned(x, y), ScalarsOf<F>(*call));
      });
    });
  }

  static int Mark(const invact_call* call, const void* x, const void*,
                  void* side, int64_t n) {
    if (!Good(call, n, x, side)) return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    return WithElement(call->dtype, [=](auto type) {
      using T = decltype(type);
      return Launch<1>(ClosedForwardKernel<F, T, false, false>, kClosedThreads,
                       n, call->stream, static_cast<const T*>(x),
                       static_cast<T*>(nullptr), static_cast<uint8_t*>(side), n,
                       Aligned(x), Scalars{});
    });
  }

  static int Backward(const invact_call* call, const void* y, const void* side,
                      const void* dy, void* dx, int64_t n) {
    if (!Good(call, n, y, dy, dx) || !ServedInY(call, side, n)) {
      return cudaErrorInvalidValue;
    }
    if (n == 0) return cudaSuccess;
    return WithElement(call->dtype, [=](auto type) {
      using T = decltype(type);
      return WithPlace<F>(*call, [=](auto in_y) {
        return Launch<1>(ClosedBackwardKernel<F, T, in_y.value>, kClosedThreads,
                         n, call->stream, static_cast<const T*>(y),
                         static_cast<const uint8_t*>(side),
                         static_cast<const T*>(dy), static_cast<T*>(dx), n,
                         Aligned(y, dy, dx), ScalarsOf<F>(*call));
      });
    });
  }

  static int Reconstruct(const invact_call* call, const void* y,
                         const void* side, void* x, int64_t n) {
    if (!Good(call, n, y, x) || !Served(call, side, n)) {
      return cudaErrorInvalidValue;
    }
    if (n == 0) return cudaSuccess;
    return WithElement(call->dtype, [=](auto type) {
      using T = decltype(type);
      return Launch<1>(ClosedReconstructKernel<F, T>, kClosedThreads, n,
                       call->stream, static_cast<const T*>(y),
                       static_cast<const uint8_t*>(side), static_cast<T*>(x), n,
                       Aligned(y, x), ScalarsOf<F>(*call));
    });
  }

  static constexpr invact_activation Activation() {
    invact_activation made = OnCuda<F>();
    if constexpr (F::kScalars > 0) made.accepts = Accepts;
    made.forward = Forward;
    made.backward = Backward;
    made.reconstruct = Reconstruct;
    if constexpr (F::kSideBits > 0) made.mark = Mark;
    return made;
  }
};

// Below so many elements what a call takes is the time that its first bytes
// need: a block that stages a table waits longer than arithmetic takes, and
// more blocks than an SM holds at once do not come about.
constexpr int64_t kFewElements = int64_t{1} << 21;

template <int kNumber>
using Number = std::integral_constant<int, kNumber>;

// Of a function that is decoded. kSlot: which tables are its (patterns.h).
template <class F, int kSlot>
struct DecodedFunctions {
  static_assert(kSlot < kPatternSlots);

  static bool Placed(const invact_call& call, const void* side, int64_t n) {
    return InY<F>(call) || n == 0 || side != nullptr;
  }

  static int Prepare(const invact_call* call, const invact_patterns* patterns) {
    if (!Good(call, 1, patterns) || call->dtype != INVACT_BF16 ||
        patterns->y == nullptr || patterns->slope == nullptr) {
      return cudaErrorInvalidValue;
    }
    try {
      return PreparePatterns(kSlot, *call, *patterns, F::kTables.lines.x0);
    } catch (const std::bad_alloc&) {
      return cudaErrorMemoryAllocation;
    }
  }

  static int Forward(const invact_call* call, const void* x, void* y,
                     void* side, int64_t n) {
    if (!Good(call, n, x, y) || !Placed(*call, side, n)) {
      return cudaErrorInvalidValue;
    }
    if (n == 0) return cudaSuccess;
    const bool small = n < kFewElements;
    if (call->dtype == INVACT_BF16) {
      if (!CudaForward<F>::kExact || !small) {
        return PatternForward(kSlot, *call, x, y,
                              InY<F>(*call) ? nullptr : side, n);
      }
      // As every other function of the dtype.
      if (const int error = PatternsReady(kSlot); error != 0) return error;
    }
    return WithElement(call->dtype, [=](auto type) {
      using T = decltype(type);
      return WithPlace<F>(*call, [=](auto in_y) {
        const auto launch = [=](auto groups) {
          return Launch<groups.value>(
              ForwardKernel<F, T, groups.value, true, in_y.value>, kThreads, n,
              call->stream, static_cast<const T*>(x), static_cast<T*>(y),
              static_cast<uint8_t*>(side), n, Aligned(x, y),
              F::kTables.lines.x0);
        };
        return small ? launch(Number<1>{})
                     : launch(Number<kForwardGroups<F, T>>{});
      });
    });
  }

  static int Mark(const invact_call* call, const void* x, const void*,
                  void* side, int64_t n) {
    if (!Good(call, n, x, side)) return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    return WithElement(call->dtype, [=](auto type) {
      using T = decltype(type);
      return Launch<1>(ForwardKernel<F, T, 1, false, false>, kThreads, n,
                       call->stream, static_cast<const T*>(x),
                       static_cast<T*>(nullptr), static_cast<uint8_t*>(side), n,
                       Aligned(x), F::kTables.lines.x0);
    });
  }

  static int Backward(const invact_call* call, const void* y, const void* side,
                      const void* dy, void* dx, int64_t n) {
    if (!Good(call, n, y, dy, dx) || !Placed(*call, side, n)) {
      return cudaErrorInvalidValue;
    }
    if (n == 0) return cudaSuccess;
    if (call->dtype == INVACT_BF16) {
      return PatternBackward(kSlot, *call, y, side, dy, dx, n);
    }
    return WithArithmetic(call->dtype, [=](auto type) {
      using T = decltype(type);
      return WithPlace<F>(*call, [=](auto in_y) {
        const DecoderLines& lines = F::kTables.lines;
        return Launch<1>(
            BackwardKernel<F, T, in_y.value>, kThreads, n, call->stream,
            static_cast<const T*>(y), static_cast<const uint8_t*>(side),
            static_cast<const T*>(dy), static_cast<T*>(dx), n,
            Aligned(y, dy, dx),
            in_y.value ? LinesOfTwo(lines, call->dtype) : lines,
            HalfCell(lines.ymin_high, call->dtype) * kCellsOf<in_y.value, T>);
      });
    });
  }

  static int Reconstruct(const invact_call* call, const void* y,
                         const void* side, void* x, int64_t n) {
    if (!Good(call, n, y, side, x)) return cudaErrorInvalidValue;
    if (n == 0) return cudaSuccess;
    return WithElement(call->dtype, [=](auto type) {
      using T = decltype(type);
      return Launch<1>(ReconstructKernel<F, T>, kThreads, n, call->stream,
                       static_cast<const T*>(y),
                       static_cast<const uint8_t*>(side), static_cast<T*>(x), n,
                       Aligned(y, x), F::kTables.lines);
    });
  }

  static constexpr invact_activation Activation() {
    invact_activation made = OnCuda<F>();
    // A table has PyTorch's very bits.
    made.forward_exact |= 1u << INVACT_BF16;
    made.table_dtypes = 1u << INVACT_BF16;
    made.prepare = Prepare;
    made.forward = Forward;
    made.backward = Backward;
    made.reconstruct = Reconstruct;
    made.mark = Mark;
    return made;
  }
};

template <class F, int kSlot>
constexpr invact_activation ActivationOf() {
  if constexpr (F::kDecoded) {
    return DecodedFunctions<F, kSlot>::Activation();
  } else {
    return ClosedFunctions<F>::Activation();
  }
}

struct ActivationSet {
  const invact_activation* activations;
  int count;
};

template <class... F, int... kSlots>
ActivationSet SetOf(FunctionList<F...>, std::integer_sequence<int, kSlots...>) {
  static constexpr invact_activation kSet[] = {ActivationOf<F, kSlots>()...};
  return {kSet, sizeof...(F)};
}
template <class... F>
ActivationSet SetOf(FunctionList<F...> functions) {
  return SetOf(functions, std::make_integer_sequence<int, sizeof...(F)>{});
}

}  // namespace
}  // namespace invact::kernels

extern "C" __attribute__((visibility("default"))) int invact_register_kernels(
    const invact_registry* registry) {
  if (!registry || registry->size < sizeof(invact_registry) ||
      registry->abi != INVACT_KERNEL_ABI || !registry->add) {
    return INVACT_BAD_ARGUMENT;
  }
  const auto set = invact::kernels::SetOf(invact::kernels::AllFunctions{});
  for (int i = 0; i < set.count; ++i) {
    registry->add(registry->ctx, &set.activations[i]);
  }
  return 0;
}
