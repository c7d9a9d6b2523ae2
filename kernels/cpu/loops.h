// The loops over memory for lanes S and activation F. A block is
// S::kLanes elements; what is left over goes through a block of its own on the
// stack, so nothing is read or written past n.
#ifndef INVACT_KERNELS_CPU_LOOPS_H_
#define INVACT_KERNELS_CPU_LOOPS_H_

#include <cstdint>
#include <cstring>

#include "kernels/cpu/element.h"
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
    return OverBlocks(y, side, dy, dx, n,
                      [&](auto... block) { BackwardBlock(block..., scalars); });
  }

  // `slopes` as MakeSlopes gave them.
  static int BackwardByTable(const float* slopes, const T* y,
                             const uint8_t* side, const T* dy, T* dx,
                             int64_t n) {
    return OverBlocks(
        y, side, dy, dx, n,
        [slopes](const T* y, const uint8_t* side, const T* dy, T* dx) {
          S::Store(S::Mul(S::Entries(slopes, y, side), S::Load(dy)), dx);
        });
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
  template <class Body>
  static int OverBlocks(const T* y, const uint8_t* side, const T* dy, T* dx,
                        int64_t n, Body body) {
    int64_t i = 0;
    for (; i + S::kLanes <= n; i += S::kLanes) {
      body(y + i, At(side, i), dy + i, dx + i);
    }
    if (i == n) return 0;
    const Block<S, T> last(y + i, n - i);
    const SideBlock<S> bits = LastBits(side, i, n);
    Block<S, T> gradient(dy + i, n - i);
    body(last.elements, bits.bytes, gradient.elements, gradient.elements);
    gradient.CopyTo(dx + i, n - i);
    return 0;
  }

  static SideBlock<S> LastBits(const uint8_t* side, int64_t first, int64_t n) {
    return F::kSideBits ? SideBlock<S>(side + first / 8, n - first)
                        : SideBlock<S>();
  }
};

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CPU_LOOPS_H_
