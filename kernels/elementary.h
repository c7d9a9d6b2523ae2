// Elementary functions in lanes of S, in float32, from fitted polynomials. Each
// is within 4 float32 last places (Erf: of 1) of the true value.
#ifndef INVACT_KERNELS_ELEMENTARY_H_
#define INVACT_KERNELS_ELEMENTARY_H_

#include "kernels/decode.h"

namespace invact::kernels {

// Of the coefficients from number kFirst on.
template <class S, int kFirst = 0, int kCount>
INVACT_LANE typename S::Float Horner(typename S::Float z,
                                     const float (&coefficients)[kCount]) {
  typename S::Float sum = S::Set(coefficients[kCount - 1]);
  for (int power = kCount - 2; power >= kFirst; --power) {
    sum = S::Fma(sum, z, S::Set(coefficients[power]));
  }
  return sum;
}

// x - n ln(2). ln(2) in two parts, the first with 11 trailing zeros: n times it
// is exact.
template <class S>
INVACT_LANE typename S::Float LessLn2(typename S::Float x,
                                      typename S::Float n) {
  return S::Fma(n, S::Set(-1.42860677e-06f),
                S::Fma(n, S::Set(-0.693145752f), x));
}

// exp(x): 0 below -104, inf above 88.73, NaN kept. 2^n is applied in two halves
// so that neither overflows before the product does.
template <class S>
INVACT_LANE typename S::Float Exp(typename S::Float x) {
  using Float = typename S::Float;
  // The second operand of Min and Max is what they give for NaN.
  const Float held = S::Max(S::Min(x, S::Set(89)), S::Set(-104));
  const Float n = S::Round(S::Mul(held, S::Set(1.44269504f)));
  const Float r = LessLn2<S>(held, n);
  const Float half = S::Round(S::Mul(n, S::Set(0.5f)));
  const Float power = S::Mul(S::Mul(Horner<S>(r, kExp), S::PowerOf2(half)),
                             S::PowerOf2(S::Sub(n, half)));
  return S::Select(S::IsNan(x), x, power);
}

// 1 - exp(-z) to its own last places, for z >= 0; 0 below, NaN kept.
template <class S>
INVACT_LANE typename S::Float OneMinusExp(typename S::Float z) {
  using Float = typename S::Float;
  const Float held = S::Min(S::Max(z, S::Set(0)), S::Set(80));
  const Float n = S::Round(S::Mul(held, S::Set(-1.44269504f)));
  const Float r = LessLn2<S>(S::Sub(S::Set(0), held), n);
  // exp(r) - 1, |r| <= ln(2) / 2: kExp begins with 1 and 1.
  const Float rest = S::Fma(S::Mul(r, r), Horner<S, 2>(r, kExp), r);
  const Float power = S::PowerOf2(n);
  const Float value = S::Sub(S::Sub(S::Set(1), power), S::Mul(power, rest));
  return S::Select(S::IsNan(z), z, value);
}

// ln(1 + w), 0 <= w <= 1: what 1 + w loses is put back by the ratio.
template <class S>
INVACT_LANE typename S::Float Log1p(typename S::Float w) {
  using Float = typename S::Float;
  const Float sum = S::Add(S::Set(1), w);
  const Float seen = S::Sub(sum, S::Set(1));
  const Float log = S::Mul(S::Log2(sum), S::Set(0.693147181f));
  return S::Select(S::Less(S::Set(0), seen), S::Mul(log, S::Div(w, seen)), w);
}

// ln(1 + exp(z)) without overflow; z itself far right.
template <class S>
INVACT_LANE typename S::Float LogOnePlusExp(typename S::Float z) {
  const typename S::Float minus = S::Sub(S::Set(0), S::Abs(z));
  return S::Add(S::Max(z, S::Set(0)), Log1p<S>(Exp<S>(minus)));
}

// The z with LogOnePlusExp(z) == y, y >= 0; about -87 for 0, NaN kept.
template <class S>
INVACT_LANE typename S::Float LogExpMinusOne(typename S::Float y) {
  const typename S::Float log = S::Log2(OneMinusExp<S>(y));
  return S::Select(S::IsNan(y), y, S::Fma(log, S::Set(0.693147181f), y));
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

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_ELEMENTARY_H_
