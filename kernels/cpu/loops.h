// The four functions of kernel_api.h for lanes S and activation F. A block is
// S::kLanes elements; what is left over goes through a block of its own on the
// stack, so nothing is read or written past n.
#ifndef INVACT_KERNELS_CPU_LOOPS_H_
#define INVACT_KERNELS_CPU_LOOPS_H_

#include <cstdint>
#include <cstring>

#include "kernels/bounds.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/forward.h"
#include "kernels/decode.h"
#include "kernels/kernel_api.h"

namespace invact::kernels {

template <class F>
inline constexpr Bounds kBounds = kGeluBounds;
template <>
inline constexpr Bounds kBounds<GeluTanh> = kGeluTanhBounds;
template <>
inline constexpr Bounds kBounds<Silu> = kSiluBounds;

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

template <class S, class F, class T>
struct Kernel {
  using Float = typename S::Float;
  using Mask = typename S::Mask;
  static constexpr const DecoderTables& kTables = F::kTables;
  static constexpr const DecoderLines& kLines = kTables.lines;

  static void MarkBlock(const T* x, uint8_t* side) {
    S::StoreBits(S::Less(S::Load(x), S::Set(kLines.x0)), side);
  }

  static void ForwardBlock(const T* x, T* y, uint8_t* side) {
    const Float value = S::Load(x);
    S::StoreBits(S::Less(value, S::Set(kLines.x0)), side);
    S::Store(F::template Forward<S>(value), y);
  }

  static Float SlopeOf(Float y, Mask bits) {
    if constexpr (sizeof(T) == 4) {
      return Slope<S, 8, false>(y, bits, kLines, 0, kTables.slope);
    } else {
      return Slope<S, 6, true>(y, bits, kLines, kHalfCell, kTables.short_slope);
    }
  }

  static void BackwardBlock(const T* y, const uint8_t* side, const T* dy,
                            T* dx) {
    const Float slope = SlopeOf(S::Load(y), S::LoadBits(side));
    S::Store(S::Mul(slope, S::Load(dy)), dx);
  }

  // The polynomial's x, then one Newton step where f is steep enough to help.
  static void ReconstructBlock(const T* y, const uint8_t* side, T* x) {
    const Float value = S::Load(y);
    const Mask bits = S::LoadBits(side);
    const Float first = Argument<S>(value, bits, kLines, kTables.x);
    const Float slope =
        Slope<S, 8, false>(value, bits, kLines, 0, kTables.slope);
    const Float step =
        S::Div(S::Sub(F::template Forward<S>(first), value), slope);
    const Mask steep = S::And(S::Less(S::Set(0.08f), S::Abs(slope)),
                              S::Less(value, S::Set(kLines.flat_from)));
    S::Store(S::Select(steep, S::Sub(first, step), first), x);
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

  static int Forward(const T* x, T* y, uint8_t* side, int64_t n) {
    int64_t i = 0;
    for (; i + S::kLanes <= n; i += S::kLanes) {
      ForwardBlock(x + i, y + i, side + i / 8);
    }
    if (i == n) return 0;
    Block<S, T> last(x + i, n - i);
    SideBlock<S> bits;
    ForwardBlock(last.elements, last.elements, bits.bytes);
    last.CopyTo(y + i, n - i);
    bits.CopyTo(side + i / 8, n - i);
    return 0;
  }

  static int Backward(const T* y, const uint8_t* side, const T* dy, T* dx,
                      int64_t n) {
    int64_t i = 0;
    for (; i + S::kLanes <= n; i += S::kLanes) {
      BackwardBlock(y + i, side + i / 8, dy + i, dx + i);
    }
    if (i == n) return 0;
    const Block<S, T> last(y + i, n - i);
    const SideBlock<S> bits(side + i / 8, n - i);
    Block<S, T> gradient(dy + i, n - i);
    BackwardBlock(last.elements, bits.bytes, gradient.elements,
                  gradient.elements);
    gradient.CopyTo(dx + i, n - i);
    return 0;
  }

  static int Reconstruct(const T* y, const uint8_t* side, T* x, int64_t n) {
    int64_t i = 0;
    for (; i + S::kLanes <= n; i += S::kLanes) {
      ReconstructBlock(y + i, side + i / 8, x + i);
    }
    if (i == n) return 0;
    Block<S, T> last(y + i, n - i);
    const SideBlock<S> bits(side + i / 8, n - i);
    ReconstructBlock(last.elements, bits.bytes, last.elements);
    last.CopyTo(x + i, n - i);
    return 0;
  }

 private:
  // The step of T at ymin is 2^(exponent - mantissa bits).
  static constexpr float kHalfCell =
      (kLines.ymin_high < -0.25f ? 0.125f : 0.0625f) / (sizeof(T) == 4 ? 1 << 23
                                                        : __is_same(T, Bf16)
                                                            ? 1 << 7
                                                            : 1 << 10);
};

// The C functions: dtype to type, nothing else.
template <class S, class F>
struct Functions {
  template <class Body>
  static int With(int dtype, Body body) {
    switch (dtype) {
      case INVACT_F32:
        return body(float{});
      case INVACT_BF16:
        return body(Bf16{});
      case INVACT_F16:
        return body(F16{});
      default:
        return INVACT_BAD_ARGUMENT;
    }
  }

  static int Forward(const invact_call* call, const void* x, void* y,
                     void* side, int64_t n) {
    if (!call || n < 0 || (n > 0 && (!x || !y || !side)))
      return INVACT_BAD_ARGUMENT;
    return With(call->dtype, [=](auto type) {
      using T = decltype(type);
      return Kernel<S, F, T>::Forward(static_cast<const T*>(x),
                                      static_cast<T*>(y),
                                      static_cast<uint8_t*>(side), n);
    });
  }

  static int Backward(const invact_call* call, const void* y, const void* side,
                      const void* dy, void* dx, int64_t n) {
    if (!call || n < 0 || (n > 0 && (!y || !side || !dy || !dx))) {
      return INVACT_BAD_ARGUMENT;
    }
    return With(call->dtype, [=](auto type) {
      using T = decltype(type);
      return Kernel<S, F, T>::Backward(
          static_cast<const T*>(y), static_cast<const uint8_t*>(side),
          static_cast<const T*>(dy), static_cast<T*>(dx), n);
    });
  }

  static int Reconstruct(const invact_call* call, const void* y,
                         const void* side, void* x, int64_t n) {
    if (!call || n < 0 || (n > 0 && (!y || !side || !x)))
      return INVACT_BAD_ARGUMENT;
    return With(call->dtype, [=](auto type) {
      using T = decltype(type);
      return Kernel<S, F, T>::Reconstruct(static_cast<const T*>(y),
                                          static_cast<const uint8_t*>(side),
                                          static_cast<T*>(x), n);
    });
  }

  static int Mark(const invact_call* call, const void* x, const void*,
                  void* side, int64_t n) {
    if (!call || n < 0 || (n > 0 && (!x || !side))) return INVACT_BAD_ARGUMENT;
    return With(call->dtype, [=](auto type) {
      using T = decltype(type);
      return Kernel<S, F, T>::Mark(static_cast<const T*>(x),
                                   static_cast<uint8_t*>(side), n);
    });
  }

  static constexpr invact_activation Activation() {
    const Bounds& bounds = kBounds<F>;
    invact_activation made = {};
    made.size = sizeof(invact_activation);
    made.device = INVACT_CPU;
    made.op = bounds.op;
    made.variant = bounds.variant;
    made.dtypes = 1u << INVACT_F32 | 1u << INVACT_BF16 | 1u << INVACT_F16;
    made.side_bits = 1;
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

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CPU_LOOPS_H_
