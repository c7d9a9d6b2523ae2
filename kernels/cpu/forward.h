// The forward functions of the CPU in lanes of S, in float32, also for the
// correction of a reconstructed x. Each is within 4 float32 last places
// (of 1 for the factor that multiplies x) of the true value.
#ifndef INVACT_KERNELS_CPU_FORWARD_H_
#define INVACT_KERNELS_CPU_FORWARD_H_

#include "kernels/decode.h"

namespace invact::kernels {

template <class S, int kCount>
INVACT_LANE typename S::Float Horner(typename S::Float z,
                                     const float (&coefficients)[kCount]) {
  typename S::Float sum = S::Set(coefficients[kCount - 1]);
  for (int power = kCount - 2; power >= 0; --power) {
    sum = S::Fma(sum, z, S::Set(coefficients[power]));
  }
  return sum;
}

// exp(x): 0 below -104, inf above 88.73, NaN kept. 2^n is applied in two halves
// so that neither overflows before the product does.
template <class S>
INVACT_LANE typename S::Float Exp(typename S::Float x) {
  using Float = typename S::Float;
  // The second operand of Min and Max is what they give for NaN.
  const Float held = S::Max(S::Min(x, S::Set(89)), S::Set(-104));
  const Float n = S::Round(S::Mul(held, S::Set(1.44269504f)));
  // ln(2) in two parts, the first with 11 trailing zeros: n times it is exact.
  const Float r = S::Fma(n, S::Set(-1.42860677e-06f),
                         S::Fma(n, S::Set(-0.693145752f), held));
  const Float half = S::Round(S::Mul(n, S::Set(0.5f)));
  const Float power = S::Mul(S::Mul(Horner<S>(r, kExp), S::PowerOf2(half)),
                             S::PowerOf2(S::Sub(n, half)));
  return S::Select(S::IsNan(x), x, power);
}

template <class S>
INVACT_LANE typename S::Float Erf(typename S::Float z) {
  using Float = typename S::Float;
  const Float size = S::Min(S::Abs(z), S::Set(4));
  const Float small = S::Fma(Horner<S>(S::Mul(z, z), kErfSmall), z, z);
  const Float large =
      S::Sub(S::Set(1), Exp<S>(S::Sub(S::Set(0), Horner<S>(size, kErfLarge))));
  const Float signed_large =
      S::Select(S::Less(z, S::Set(0)), S::Sub(S::Set(0), large), large);
  const Float erf =
      S::Select(S::Less(size, S::Set(0.875f)), small, signed_large);
  return S::Select(S::IsNan(z), z, erf);
}

struct Gelu {
  static constexpr const DecoderTables& kTables = kGeluTables;
  template <class S>
  INVACT_LANE static typename S::Float Forward(typename S::Float x) {
    return S::Mul(S::Mul(x, S::Set(0.5f)),
                  S::Add(S::Set(1), Erf<S>(S::Mul(x, S::Set(0.707106781f)))));
  }
};

struct Silu {
  static constexpr const DecoderTables& kTables = kSiluTables;
  template <class S>
  INVACT_LANE static typename S::Float Forward(typename S::Float x) {
    return S::Div(x, S::Add(S::Set(1), Exp<S>(S::Sub(S::Set(0), x))));
  }
};

// (1 + tanh(z)) / 2 is 1 / (1 + exp(-2 z)): no cancellation far left.
struct GeluTanh {
  static constexpr const DecoderTables& kTables = kGeluTanhTables;
  template <class S>
  INVACT_LANE static typename S::Float Forward(typename S::Float x) {
    const typename S::Float cube = S::Mul(S::Mul(x, x), x);
    const typename S::Float inner =
        S::Mul(S::Set(-1.59576912f), S::Fma(cube, S::Set(0.044715f), x));
    return S::Div(x, S::Add(S::Set(1), Exp<S>(inner)));
  }
};

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CPU_FORWARD_H_
