// The four functions of kernel_api.h for lanes S and activation F. A block is
// S::kLanes elements; what is left over goes through a block of its own on the
// stack, so nothing is read or written past n.
#ifndef INVACT_KERNELS_CPU_LOOPS_H_
#define INVACT_KERNELS_CPU_LOOPS_H_

#include <cstdint>
#include <cstring>

#include "kernels/cpu/element.h"
#include "kernels/cpu/isa.h"
#include "kernels/functions.h"
#include "kernels/kernel_api.h"

namespace invact::kernels {

template <class S, class T>
struct Block {
  T elements[S::kLanes];

  Block() : elements{} {}
  Block(const T* from, int64_t count) : elements{} {
    std::memcpy(elements, from, count * sizeof(T));
  }
  void CopyTo(T* to, int64_t count) const {
    std::memcpy(to, elements, count * sizeof(T));
  }
};

template <class S>
struct SideBlock {
  uint8_t bytes[S::kLanes / 8];

  SideBlock() : bytes{} {}
  SideBlock(const uint8_t* from, int64_t count) : bytes{} {
    std::memcpy(bytes, from, INVACT_SIDE_BYTES(count));
  }
  void CopyTo(uint8_t* to, int64_t count) const {
    std::memcpy(to, bytes, INVACT_SIDE_BYTES(count));
  }
};

// Pointers into `side` are null, and never followed, where F has no bits.
template <class S, class F, class T>
struct Kernel {
  using Float = typename S::Float;
  using Mask = typename S::Mask;
  static constexpr int kDtype = kDtypeOf<T>;

  static const uint8_t* At(const uint8_t* side, int64_t element) {
    return F::kSideBits ? side + element / 8 : nullptr;
  }
  static uint8_t* At(uint8_t* side, int64_t element) {
    return F::kSideBits ? side + element / 8 : nullptr;
  }

  static Mask BitsOf(const uint8_t* side) {
    if constexpr (F::kSideBits) {
      return S::LoadBits(side);
    } else {
      return S::Less(S::Set(0), S::Set(0));
    }
  }

  static void MarkBlock(const T* x, uint8_t* side) {
    S::StoreBits(S::Less(S::Load(x), S::Set(F::kMinimum)), side);
  }

  static void ForwardBlock(const T* x, T* y, uint8_t* side,
                           const Scalars& scalars) {
    const Float value = S::Load(x);
    if constexpr (F::kSideBits) {
      S::StoreBits(S::Less(value, S::Set(F::kMinimum)), side);
    }
    S::Store(F::template Forward<S>(value, scalars), y);
  }

  static void BackwardBlock(const T* y, const uint8_t* side, const T* dy, T* dx,
                            const Scalars& scalars) {
    S::Store(F::template Gradient<S, kDtype>(S::Load(y), BitsOf(side),
                                             S::Load(dy), scalars),
             dx);
  }

  static void ReconstructBlock(const T* y, const uint8_t* side, T* x,
                               const Scalars& scalars) {
    S::Store(F::template Argument<S, kDtype>(S::Load(y), BitsOf(side), scalars),
             x);
  }

  static int Mark(const T* x, uint8_t* side, int64_t n) {
    int64_t i = 0;
    for (; i + S::kLanes <= n; i += S::kLanes) MarkBlock(x + i, side + i / 8);
    if (i == n) return 0;
    const Block<S, T> last(x + i, n - i);
    SideBlock<S> bits;
    MarkBlock(last.elements, bits.bytes);
    bits.CopyTo(side + i / 8, n - i);
    return 0;
  }

  static int Forward(const T* x, T* y, uint8_t* side, int64_t n,
                     const Scalars& scalars) {
    int64_t i = 0;
    for (; i + S::kLanes <= n; i += S::kLanes) {
      ForwardBlock(x + i, y + i, At(side, i), scalars);
    }
    if (i == n) return 0;
    Block<S, T> last(x + i, n - i);
    SideBlock<S> bits;
    ForwardBlock(last.elements, last.elements, bits.bytes, scalars);
    last.CopyTo(y + i, n - i);
    if constexpr (F::kSideBits) bits.CopyTo(side + i / 8, n - i);
    return 0;
  }

  static int Backward(const T* y, const uint8_t* side, const T* dy, T* dx,
                      int64_t n, const Scalars& scalars) {
    int64_t i = 0;
    for (; i + S::kLanes <= n; i += S::kLanes) {
      BackwardBlock(y + i, At(side, i), dy + i, dx + i, scalars);
    }
    if (i == n) return 0;
    const Block<S, T> last(y + i, n - i);
    const SideBlock<S> bits = LastBits(side, i, n);
    Block<S, T> gradient(dy + i, n - i);
    BackwardBlock(last.elements, bits.bytes, gradient.elements,
                  gradient.elements, scalars);
    gradient.CopyTo(dx + i, n - i);
    return 0;
  }

  static int Reconstruct(const T* y, const uint8_t* side, T* x, int64_t n,
                         const Scalars& scalars) {
    int64_t i = 0;
    for (; i + S::kLanes <= n; i += S::kLanes) {
      ReconstructBlock(y + i, At(side, i), x + i, scalars);
    }
    if (i == n) return 0;
    Block<S, T> last(y + i, n - i);
    const SideBlock<S> bits = LastBits(side, i, n);
    ReconstructBlock(last.elements, bits.bytes, last.elements, scalars);
    last.CopyTo(x + i, n - i);
    return 0;
  }

 private:
  static SideBlock<S> LastBits(const uint8_t* side, int64_t first, int64_t n) {
    return F::kSideBits ? SideBlock<S>(side + first / 8, n - first)
                        : SideBlock<S>();
  }
};

// The C functions: arguments checked, dtype to type, nothing else.
template <class S, class F>
struct Functions {
  template <class Body>
  static int With(const invact_call& call, Body body) {
    Scalars scalars = {};
    for (int i = 0; i < F::kScalars; ++i) {
      scalars.values[i] = static_cast<float>(call.parameters[i]);
    }
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
      return Kernel<S, F, T>::Backward(
          static_cast<const T*>(y), static_cast<const uint8_t*>(side),
          static_cast<const T*>(dy), static_cast<T*>(dx), n, scalars);
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
    const Bounds& bounds = F::kBounds;
    invact_activation made = {};
    made.size = sizeof(invact_activation);
    made.device = INVACT_CPU;
    made.op = bounds.op;
    made.variant = bounds.variant;
    made.dtypes = 1u << INVACT_F32 | 1u << INVACT_BF16 | 1u << INVACT_F16;
    made.side_bits = F::kSideBits;
    made.parameters = F::kScalars;
    for (int dtype = 0; dtype < INVACT_DTYPES; ++dtype) {
      made.error_max[dtype] = bounds.error_max[dtype];
      made.error_rms[dtype] = bounds.error_rms[dtype];
    }
    if constexpr (F::kScalars > 0) made.accepts = Accepts;
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

#endif  // INVACT_KERNELS_CPU_LOOPS_H_
