// The C functions of kernel_api.h for lanes S and activation F, and the list of
// all activations for one instruction set.
#ifndef INVACT_KERNELS_CPU_ACTIVATION_SET_H_
#define INVACT_KERNELS_CPU_ACTIVATION_SET_H_

#include <atomic>
#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/slopes.h"
#include "kernels/kernel_api.h"

namespace invact::kernels {

// Arguments checked, dtype to type, nothing else.
template <class S, class F>
struct Functions {
  // f' of the 16-bit dtypes where F is tabled; null until prepared.
  static inline std::atomic<const float*> slopes[INVACT_DTYPES] = {};

  static constexpr bool ByTable(int dtype) {
    return F::kTabled && (dtype == INVACT_BF16 || dtype == INVACT_F16);
  }

  // What was learnt first stays: backward may be reading it.
  static int Prepare(const invact_call* call, const invact_patterns* patterns) {
    if (call == nullptr || !ByTable(call->dtype) || patterns == nullptr ||
        patterns->y == nullptr || patterns->slope == nullptr) {
      return INVACT_BAD_ARGUMENT;
    }
    std::atomic<const float*>& learnt = slopes[call->dtype];
    if (learnt.load() == nullptr) {
      learnt = MakeSlopes(*patterns, call->dtype, F::kMinimum, !F::kDecoded);
    }
    return learnt.load() != nullptr ? 0 : INVACT_BAD_ARGUMENT;
  }

  template <class Body>
  static int With(const invact_call& call, Body body) {
    const Scalars scalars = ScalarsOf<F>(call);
    switch (call.dtype) {
      case INVACT_F32:
        return body(float{}, scalars);
      case INVACT_BF16:
        return body(Bf16{}, scalars);
      case INVACT_F16:
        return body(F16{}, scalars);
      default:
        return INVACT_BAD_ARGUMENT;
    }
  }

  template <class... Pointers>
  static bool Good(const invact_call* call, const void* side, int64_t n,
                   Pointers... pointers) {
    if (call == nullptr || n < 0) return false;
    if (F::kScalars > 0 && call->parameters == nullptr) return false;
    return n == 0 || (((pointers != nullptr) && ...) &&
                      (F::kSideBits == 0 || side != nullptr));
  }

  static int Forward(const invact_call* call, const void* x, void* y,
                     void* side, int64_t n) {
    if (!Good(call, side, n, x, y)) return INVACT_BAD_ARGUMENT;
    return With(*call, [=](auto type, const Scalars& scalars) {
      using T = decltype(type);
      return Kernel<S, F, T>::Forward(static_cast<const T*>(x),
                                      static_cast<T*>(y),
                                      static_cast<uint8_t*>(side), n, scalars);
    });
  }

  static int Backward(const invact_call* call, const void* y, const void* side,
                      const void* dy, void* dx, int64_t n) {
    if (!Good(call, side, n, y, dy, dx)) return INVACT_BAD_ARGUMENT;
    return With(*call, [=](auto type, const Scalars& scalars) {
      using T = decltype(type);
      const auto* ys = static_cast<const T*>(y);
      const auto* sides = static_cast<const uint8_t*>(side);
      const auto* dys = static_cast<const T*>(dy);
      auto* dxs = static_cast<T*>(dx);
      if constexpr (ByTable(kDtypeOf<T>)) {
        const float* learnt = slopes[kDtypeOf<T>].load();
        if (learnt == nullptr) return static_cast<int>(INVACT_NOT_PREPARED);
        return Kernel<S, F, T>::BackwardByTable(learnt, ys, sides, dys, dxs, n);
      } else {
        return Kernel<S, F, T>::Backward(ys, sides, dys, dxs, n, scalars);
      }
    });
  }

  static int Reconstruct(const invact_call* call, const void* y,
                         const void* side, void* x, int64_t n) {
    if (!Good(call, side, n, y, x)) return INVACT_BAD_ARGUMENT;
    return With(*call, [=](auto type, const Scalars& scalars) {
      using T = decltype(type);
      return Kernel<S, F, T>::Reconstruct(static_cast<const T*>(y),
                                          static_cast<const uint8_t*>(side),
                                          static_cast<T*>(x), n, scalars);
    });
  }

  static int Mark(const invact_call* call, const void* x, const void*,
                  void* side, int64_t n) {
    if (!Good(call, side, n, x)) return INVACT_BAD_ARGUMENT;
    return With(*call, [=](auto type, const Scalars&) {
      using T = decltype(type);
      return Kernel<S, F, T>::Mark(static_cast<const T*>(x),
                                   static_cast<uint8_t*>(side), n);
    });
  }

  static int Accepts(const double* scalars) { return F::Accepts(scalars); }

  static constexpr invact_activation Activation() {
    invact_activation made = Described<F>(INVACT_CPU);
    if constexpr (F::kScalars > 0) made.accepts = Accepts;
    if constexpr (F::kTabled) {
      made.table_dtypes = 1u << INVACT_BF16 | 1u << INVACT_F16;
      made.prepare = Prepare;
    }
    made.forward = Forward;
    made.backward = Backward;
    made.reconstruct = Reconstruct;
    if constexpr (F::kSideBits > 0) made.mark = Mark;
    return made;
  }
};

template <class S, class... F>
ActivationSet SetOf(FunctionList<F...>) {
  static constexpr invact_activation kSet[] = {
      Functions<S, F>::Activation()...};
  return {kSet, sizeof...(F)};
}

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CPU_ACTIVATION_SET_H_
