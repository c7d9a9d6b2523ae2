// The built-in activation functions, once for all processors: each with its
// stated gradient errors, its forward and how f' and x are told from y. A
// function that is added here is built for every instruction set and for CUDA.
//
// In float32 the last places that PyTorch's y is off by are what limits the
// errors: tests/unit/kernels has the less for a y that is rounded correctly.
#ifndef INVACT_KERNELS_FUNCTIONS_H_
#define INVACT_KERNELS_FUNCTIONS_H_

#include "kernels/elementary.h"
#include "kernels/function_shapes.h"

namespace invact::kernels {

struct Gelu : Decoded<Gelu, kGeluTables> {
  static constexpr Bounds kBounds = {
      "aten::gelu", "none", {1.5e-4, 1.3e-2, 7.2e-3}, {2e-6, 1.6e-3, 4.4e-4}};
  template <class S>
  INVACT_LANE static typename S::Float Forward(typename S::Float x,
                                               const Scalars&) {
    return S::Mul(S::Mul(x, S::Set(0.5f)),
                  S::Add(S::Set(1), Erf<S>(S::Mul(x, S::Set(0.707106781f)))));
  }
};

// (1 + tanh(z)) / 2 is 1 / (1 + exp(-2 z)): no cancellation far left.
struct GeluTanh : Decoded<GeluTanh, kGeluTanhTables> {
  // On CUDA PyTorch's y of this one leaves 1.75e-4.
  static constexpr Bounds kBounds = {
      "aten::gelu", "tanh", {1.8e-4, 1.3e-2, 5.2e-3}, {2e-6, 1.6e-3, 3.4e-4}};
  template <class S>
  INVACT_LANE static typename S::Float Forward(typename S::Float x,
                                               const Scalars&) {
    const typename S::Float cube = S::Mul(S::Mul(x, x), x);
    const typename S::Float inner =
        S::Mul(S::Set(-1.59576912f), S::Fma(cube, S::Set(0.044715f), x));
    return S::Div(x, S::Add(S::Set(1), Exp<S>(inner)));
  }
};

struct Silu : Decoded<Silu, kSiluTables> {
  static constexpr Bounds kBounds = {
      "aten::silu", "", {1.5e-4, 1.4e-2, 5.6e-3}, {2e-6, 1.7e-3, 3.7e-4}};
  template <class S>
  INVACT_LANE static typename S::Float Forward(typename S::Float x,
                                               const Scalars&) {
    return S::Div(x, S::Add(S::Set(1), Exp<S>(S::Sub(S::Set(0), x))));
  }
};

// tanh(ln(1 + e)) is (e^2 + 2 e) / (e^2 + 2 e + 2): no cancellation, and 1 to
// float32's last place from x = 10 on.
struct Mish : Decoded<Mish, kMishTables> {
  // On CUDA PyTorch's y of this one leaves 1.74e-4.
  static constexpr Bounds kBounds = {
      "aten::mish", "", {1.8e-4, 1.5e-2, 6e-3}, {2e-6, 2.1e-3, 4.2e-4}};
  template <class S>
  INVACT_LANE static typename S::Float Forward(typename S::Float x,
                                               const Scalars&) {
    using Float = typename S::Float;
    const Float e = Exp<S>(S::Min(x, S::Set(20)));
    const Float n = S::Mul(e, S::Add(e, S::Set(2)));
    return S::Mul(x, S::Div(n, S::Add(n, S::Set(2))));
  }
};

// A parabola between -3 and 3: y + 3/8 = (x + 3/2)^2 / 6.
struct Hardswish : Shape<Hardswish, 1> {
  static constexpr Bounds kBounds = {
      "aten::hardswish", "", {1.5e-4, 1.5e-2, 6e-3}, {2e-6, 1.6e-3, 3.6e-4}};
  static constexpr bool kTabled = true;
  static constexpr float kMinimum = -1.5f;
  static constexpr float kDepth = 0.375f;  // minus f(kMinimum)

  template <class S>
  INVACT_LANE static typename S::Float Forward(typename S::Float x,
                                               const Scalars&) {
    const typename S::Float gate =
        S::Min(S::Max(S::Add(x, S::Set(3)), S::Set(0)), S::Set(6));
    return S::Mul(x, S::Div(gate, S::Set(6)));
  }

  // sqrt(depth), negative left.
  template <class S>
  INVACT_LANE static typename S::Float Root(typename S::Float depth,
                                            typename S::Mask left) {
    const typename S::Float root = S::Sqrt(S::Max(depth, S::Set(0)));
    return S::Select(left, S::Sub(S::Set(0), root), root);
  }

  // 0 up to x = -3 and 1 from x = 3 on, as PyTorch has it at the kinks. A NaN
  // whose bit is set comes from x = -inf, where f' is 0.
  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Slope(typename S::Float y,
                                             typename S::Mask bits,
                                             const Scalars& scalars) {
    using Float = typename S::Float;
    const typename S::Mask left = IsLeft<S>(y, bits);
    // A stored y stands for a cell, and the root for its mean: see decode.h.
    constexpr float kHalf = 0.125f / (1 << kMantissaBits<kDtype>);
    const Float depth = S::Add(y, S::Set(kDepth - (scalars.cells - 1) * kHalf));
    const Float half = S::Set(kHalf * scalars.cells);
    const Float roots = S::Add(Root<S>(S::Sub(depth, half), left),
                               Root<S>(S::Add(depth, half), left));
    const Float parabola = S::Mul(roots, S::Set(0.40824829f));  // sqrt(1/6)
    const Float slope =
        S::Select(S::Less(y, S::Set(3)), parabola, S::MinOrNan(S::Set(1), y));
    // Nearer to 0 is none but 0 itself, and what it becomes when it has the bit
    // in its mantissa: float16's least number is 2^-24.
    const typename S::Mask flat =
        S::And(left, S::Not(S::Less(y, S::Set(-0x1.1p-24f))));
    return S::Select(flat, S::Set(0), slope);
  }

  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Argument(typename S::Float y,
                                                typename S::Mask bits,
                                                const Scalars&) {
    using Float = typename S::Float;
    const Float root = Root<S>(S::Add(y, S::Set(kDepth)), IsLeft<S>(y, bits));
    const Float x = S::Fma(root, S::Set(2.44948974f), S::Set(-1.5f));
    return S::Select(S::Less(y, S::Set(3)), x, y);
  }
};

// ln(1 + exp(beta x)) / beta, and x itself where beta x > threshold.
struct Softplus : Shape<Softplus, 0, 2> {
  static constexpr Bounds kBounds = {
      "aten::softplus", "", {5e-7, 1.5e-3, 2e-4}, {2e-7, 5.5e-4, 7e-5}};

  // Above the threshold PyTorch's slope is 1; just below it y may lie above,
  // where 1 is off by exp(-threshold): 3e-7 at the least threshold taken.
  INVACT_HOST static bool Accepts(const double* scalars) {
    constexpr double kMost = 3e38;
    return scalars[0] > 0 && scalars[0] <= kMost && scalars[1] >= 15 &&
           scalars[1] <= kMost;
  }

  template <class S>
  INVACT_LANE static typename S::Float Forward(typename S::Float x,
                                               const Scalars& scalars) {
    using Float = typename S::Float;
    const Float beta = S::Set(scalars.values[0]);
    const Float z = S::Mul(x, beta);
    return S::Select(S::Less(S::Set(scalars.values[1]), z), x,
                     S::Div(LogOnePlusExp<S>(z), beta));
  }

  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Slope(typename S::Float y,
                                             typename S::Mask,
                                             const Scalars& scalars) {
    const typename S::Float z = S::Mul(y, S::Set(scalars.values[0]));
    return S::Select(S::Less(S::Set(scalars.values[1]), z), S::Set(1),
                     OneMinusExp<S>(z));
  }

  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Argument(typename S::Float y,
                                                typename S::Mask,
                                                const Scalars& scalars) {
    using Float = typename S::Float;
    const Float beta = S::Set(scalars.values[0]);
    const Float z = S::Mul(y, beta);
    return S::Select(S::Less(S::Set(scalars.values[1]), z), y,
                     S::Div(LogExpMinusOne<S>(z), beta));
  }
};

// -ln(1 + exp(-x)).
struct LogSigmoid : Shape<LogSigmoid, 0> {
  static constexpr Bounds kBounds = {"aten::log_sigmoid_forward",
                                     "",
                                     {5e-7, 1.5e-3, 2e-4},
                                     {2e-7, 5.5e-4, 7e-5}};

  template <class S>
  INVACT_LANE static typename S::Float Forward(typename S::Float x,
                                               const Scalars&) {
    return S::Sub(S::Set(0), LogOnePlusExp<S>(S::Sub(S::Set(0), x)));
  }

  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Slope(typename S::Float y,
                                             typename S::Mask, const Scalars&) {
    return OneMinusExp<S>(S::Sub(S::Set(0), y));
  }

  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Argument(typename S::Float y,
                                                typename S::Mask,
                                                const Scalars&) {
    return S::Sub(S::Set(0), LogExpMinusOne<S>(S::Sub(S::Set(0), y)));
  }
};

// x / 6 + 1/2 between -3 and 3.
struct Hardsigmoid : Shape<Hardsigmoid, 0> {
  // The largest float32 below 3 gives 1, as 3 does, but has the slope 1/6.
  static constexpr Bounds kBounds = {
      "aten::hardsigmoid", "", {0.167, 1e-8, 1e-8}, {6e-6, 1e-8, 1e-8}};

  template <class S>
  INVACT_LANE static typename S::Mask Inside(typename S::Float y) {
    return S::And(S::Less(S::Set(0), y), S::Less(y, S::Set(1)));
  }

  template <class S>
  INVACT_LANE static typename S::Float Forward(typename S::Float x,
                                               const Scalars&) {
    const typename S::Float gate =
        S::Min(S::Max(S::Add(x, S::Set(3)), S::Set(0)), S::Set(6));
    return S::Select(S::IsNan(x), x, S::Div(gate, S::Set(6)));
  }

  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Slope(typename S::Float y,
                                             typename S::Mask, const Scalars&) {
    return S::Select(Inside<S>(y), S::Set(1.0f / 6), S::Set(0));
  }

  // As PyTorch: 0 outside, whatever dy is.
  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Gradient(typename S::Float y,
                                                typename S::Mask,
                                                typename S::Float dy,
                                                const Scalars&) {
    return S::Select(Inside<S>(y), S::Mul(dy, S::Set(1.0f / 6)), S::Set(0));
  }

  // Strictly inside where y is: PyTorch's slope at -3 and 3 is 0.
  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Argument(typename S::Float y,
                                                typename S::Mask,
                                                const Scalars&) {
    using Float = typename S::Float;
    constexpr float kEnd = 3 - 2.0f / (1 << kMantissaBits<kDtype>);
    const Float x = S::Fma(y, S::Set(6), S::Set(-3));
    const Float held = S::Min(S::Max(x, S::Set(-kEnd)), S::Set(kEnd));
    return S::Select(Inside<S>(y), held, x);
  }
};

// x right of 0, slope x elsewhere, for a slope below 0: both give a y above 0,
// where the bit tells them apart. A y of 0, and NaN, come from where PyTorch's
// f' is the slope.
struct LeakyRelu : Shape<LeakyRelu, 1, 1> {
  // Bit-equal: what 1e-8 allows for is the slope's own rounding to float32.
  static constexpr Bounds kBounds = {
      "aten::leaky_relu", "", {1e-8, 1e-8, 1e-8}, {1e-8, 1e-8, 1e-8}};
  static constexpr bool kBitOfNegatives = false;
  static constexpr float kMinimum = 0;

  // Other slopes need no bit. Not one that is 0 in float32.
  INVACT_HOST static bool Accepts(const double* scalars) {
    return scalars[0] <= -0x1p-126 && scalars[0] >= -3e38;
  }

  template <class S>
  INVACT_LANE static typename S::Float Forward(typename S::Float x,
                                               const Scalars& scalars) {
    return S::Select(S::Less(S::Set(0), x), x,
                     S::Mul(x, S::Set(scalars.values[0])));
  }

  template <class S>
  INVACT_LANE static typename S::Mask Rising(typename S::Float y,
                                             typename S::Mask bits) {
    return S::And(S::Less(S::Set(0), y), S::Not(bits));
  }

  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Slope(typename S::Float y,
                                             typename S::Mask bits,
                                             const Scalars& scalars) {
    return S::Select(Rising<S>(y, bits), S::Set(1), S::Set(scalars.values[0]));
  }

  template <class S, int kDtype>
  INVACT_LANE static typename S::Float Argument(typename S::Float y,
                                                typename S::Mask bits,
                                                const Scalars& scalars) {
    return S::Select(Rising<S>(y, bits), y,
                     S::Div(y, S::Set(scalars.values[0])));
  }
};

// In the order in which they are registered.
template <class... F>
struct FunctionList {};
using AllFunctions = FunctionList<Gelu, GeluTanh, Silu, Mish, Hardswish,
                                  Softplus, LogSigmoid, Hardsigmoid, LeakyRelu>;

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_FUNCTIONS_H_
