// What the functions of functions.h have in common. A function F has
//   kBounds, kSideBits, kScalars (how many the op has), kMinimum (where there
//   are side bits: a bit is set left of it), and in lanes of S
//   Forward(x, scalars)          f(x)
//   Slope<kDtype>(y, bits, ...)  f' at the x with f(x) == y
//   Gradient<kDtype>(...)        dy f'
//   Argument<kDtype>(...)        that x
// kDtype (enum invact_dtype) says how y was rounded. Everything is inlined into
// templates of S: code for one instruction set never serves another.
#ifndef INVACT_KERNELS_FUNCTION_SHAPES_H_
#define INVACT_KERNELS_FUNCTION_SHAPES_H_

#include "kernels/decode.h"
#include "kernels/kernel_api.h"

namespace invact::kernels {

// The op, and its stated gradient errors on every device: largest and root mean
// square (x ~ N(0, 1)) of |f'(decoded) - f'(x)|, by dtype float32, bfloat16,
// float16. tests/unit/kernels holds the kernels to them.
struct Bounds {
  const char* op;
  const char* variant;
  double error_max[INVACT_DTYPES];
  double error_rms[INVACT_DTYPES];
};

struct Scalars {
  float values[2];  // the op's in the order of its schema, 0 where it has fewer
  // Neighbouring numbers of the dtype that a stored y stands for: 2 where the
  // bit was in y and has been cleared, y and the next one away from 0.
  float cells = 1;
};

template <class F>
INVACT_HOST Scalars ScalarsOf(const invact_call& call) {
  Scalars scalars = {};
  for (int i = 0; i < F::kScalars; ++i) {
    scalars.values[i] = static_cast<float>(call.parameters[i]);
  }
  return scalars;
}

// What F's registration has whatever the device: its functions are yet to come.
template <class F>
constexpr invact_activation Described(invact_device device) {
  invact_activation made = {};
  made.size = sizeof(invact_activation);
  made.device = device;
  made.op = F::kBounds.op;
  made.variant = F::kBounds.variant;
  made.dtypes = 1u << INVACT_F32 | 1u << INVACT_BF16 | 1u << INVACT_F16;
  made.side_bits = F::kSideBits;
  made.parameters = F::kScalars;
  if (F::kBitOfNegatives) made.flags = INVACT_BIT_OF_NEGATIVES;
  for (int dtype = 0; dtype < INVACT_DTYPES; ++dtype) {
    made.error_max[dtype] = F::kBounds.error_max[dtype];
    made.error_rms[dtype] = F::kBounds.error_rms[dtype];
  }
  return made;
}

template <class F, int kBits, int kCount = 0>
struct Shape {
  static constexpr int kSideBits = kBits;
  static constexpr int kScalars = kCount;
  // Whether f is below 0, or -0, left of its minimum.
  static constexpr bool kBitOfNegatives = kBits > 0;
  // Whether Slope and Argument look polynomials up in F::kTables.
  static constexpr bool kDecoded = false;
  // Whether the CPU takes f' of a 16-bit y from a table.
  static constexpr bool kTabled = false;

  // Whether f can be told from y with these scalars.
  INVACT_HOST static bool Accepts(const double*) { return true; }

  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Gradient(typename S::Float y,
                                                typename S::Mask bits,
                                                typename S::Float dy,
                                                const Scalars& scalars) {
    return S::Mul(F::template Slope<S, kDtype>(y, bits, scalars), dy);
  }
};

// One minimum, decoded by the polynomials of kOf.
template <class F, const DecoderTables& kOf>
struct Decoded : Shape<F, 1> {
  static constexpr bool kDecoded = true;
  static constexpr bool kTabled = true;
  static constexpr const DecoderTables& kTables = kOf;
  static constexpr float kMinimum = kOf.lines.x0;

  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Slope(typename S::Float y,
                                             typename S::Mask bits,
                                             const Scalars& scalars) {
    if constexpr (kDtype == INVACT_F32) {
      return kernels::Slope<S, 8, false>(y, bits, kOf.lines, 0, kOf.slope);
    } else {
      return kernels::Slope<S, 6, true>(
          y, bits,
          scalars.cells == 2 ? LinesOfTwo(kOf.lines, kDtype) : kOf.lines,
          HalfCell(kOf.lines.ymin_high, kDtype) * scalars.cells,
          kOf.short_slope);
    }
  }

  // The polynomial's x, then one Newton step where f is steep enough to help.
  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Argument(typename S::Float y,
                                                typename S::Mask bits,
                                                const Scalars& scalars) {
    using Float = typename S::Float;
    const Float first = kernels::Argument<S>(y, bits, kOf.lines, kOf.x);
    const Float slope = Slope<S, INVACT_F32>(y, bits, scalars);
    const Float step =
        S::Div(S::Sub(F::template Forward<S>(first, scalars), y), slope);
    const typename S::Mask steep =
        S::And(S::Less(S::Set(0.03f), S::Abs(slope)),
               S::Less(y, S::Set(kOf.lines.flat_from)));
    return S::Select(steep, S::Sub(first, step), first);
  }
};

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_FUNCTION_SHAPES_H_
