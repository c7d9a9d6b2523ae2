#include "tests/unit/plugin/rebuild/rerun_cases.h"

namespace invact {

namespace {

using T = const at::Tensor&;

at::Tensor Mask(T x) { return x > 0; }

// An element of it, without dimensions.
at::Tensor One(T x) { return x.select(0, 1).select(0, 2); }

}  // namespace

std::vector<RerunCase> RerunCases() {
  return {
      {"abs", [](T x, T) { return x.abs(); }},
      {"add.Scalar", [](T x, T) { return x.add(at::Scalar(1.5), 0.3); }},
      {"add.Tensor", [](T x, T y) { return at::add(x, y, 0.7); }},
      {"addcmul", [](T x, T y) { return at::addcmul(x, y, y, 0.5); }},
      {"bitwise_not", [](T x, T) { return Mask(x).bitwise_not(); }},
      {"clamp", [](T x, T) { return x.clamp(-1.0, 2.0); }},
      {"clamp_max", [](T x, T) { return x.clamp_max(1.0); }},
      {"clamp_min", [](T x, T) { return x.clamp_min(-0.5); }},
      {"clone", [](T x, T) { return x.clone(); }},
      {"cos", [](T x, T) { return x.cos(); }},
      {"div.Scalar", [](T x, T) { return x.div(at::Scalar(3.0)); }},
      {"div.Tensor", [](T x, T y) { return x / y; }},
      {"elu", [](T x, T) { return at::elu(x, 1.2, 1.0, 0.9); }},
      {"eq.Scalar", [](T x, T) { return x == 0.0; }},
      {"eq.Tensor", [](T x, T y) { return x == y; }},
      {"erf", [](T x, T) { return x.erf(); }},
      {"exp", [](T x, T) { return x.exp(); }},
      {"expm1", [](T x, T) { return x.expm1(); }},
      {"ge.Scalar", [](T x, T) { return x >= 0.5; }},
      {"ge.Tensor", [](T x, T y) { return x >= y; }},
      {"gelu", [](T x, T) { return at::gelu(x, "none"); }},
      {"gelu", [](T x, T) { return at::gelu(x, "tanh"); }},
      {"glu", [](T x, T) { return at::glu(x, 0); }},
      {"gt.Scalar", [](T x, T) { return x > 0.5; }},
      {"gt.Tensor", [](T x, T y) { return x > y; }},
      {"hardshrink", [](T x, T) { return at::hardshrink(x, 0.4); }},
      {"hardsigmoid", [](T x, T) { return at::hardsigmoid(x); }},
      {"hardswish", [](T x, T) { return at::hardswish(x); }},
      {"hardtanh", [](T x, T) { return at::hardtanh(x, -2.0, 1.0); }},
      {"le.Scalar", [](T x, T) { return x <= 0.5; }},
      {"le.Tensor", [](T x, T y) { return x <= y; }},
      {"leaky_relu", [](T x, T) { return at::leaky_relu(x, 0.1); }},
      {"log", [](T x, T) { return x.log(); }},
      {"log1p", [](T x, T) { return x.log1p(); }},
      {"log_sigmoid_forward",
       [](T x, T) { return std::get<0>(at::log_sigmoid_forward(x)); }},
      {"logical_not", [](T x, T) { return x.logical_not(); }},
      {"lt.Scalar", [](T x, T) { return x < 0.5; }},
      {"lt.Tensor", [](T x, T y) { return x < y; }},
      {"masked_fill.Scalar",
       [](T x, T y) { return x.masked_fill(Mask(y), -7.0); }},
      {"masked_fill.Tensor",
       [](T x, T y) { return x.masked_fill(Mask(y), One(y)); }},
      {"maximum", [](T x, T y) { return at::maximum(x, y); }},
      {"minimum", [](T x, T y) { return at::minimum(x, y); }},
      {"mish", [](T x, T) { return at::mish(x); }},
      {"mul.Scalar", [](T x, T) { return x.mul(at::Scalar(0.3)); }},
      {"mul.Tensor", [](T x, T y) { return x * y; }},
      {"ne.Scalar", [](T x, T) { return x != 0.0; }},
      {"ne.Tensor", [](T x, T y) { return x != y; }},
      {"neg", [](T x, T) { return x.neg(); }},
      {"pow.Tensor_Scalar", [](T x, T) { return x.pow(3.0); }},
      {"pow.Tensor_Scalar", [](T x, T) { return x.abs().pow(0.7); }},
      {"reciprocal", [](T x, T) { return x.reciprocal(); }},
      {"relu", [](T x, T) { return x.relu(); }},
      {"rsqrt", [](T x, T) { return x.rsqrt(); }},
      {"rsub.Scalar", [](T x, T) { return at::rsub(x, 2.0, 0.7); }},
      {"sigmoid", [](T x, T) { return x.sigmoid(); }},
      {"silu", [](T x, T) { return at::silu(x); }},
      {"sin", [](T x, T) { return x.sin(); }},
      {"softplus", [](T x, T) { return at::softplus(x, 1.5, 20.0); }},
      {"softshrink", [](T x, T) { return at::softshrink(x, 0.4); }},
      {"sqrt", [](T x, T) { return x.sqrt(); }},
      {"sub.Scalar", [](T x, T) { return x.sub(at::Scalar(1.5), 0.3); }},
      {"sub.Tensor", [](T x, T y) { return at::sub(x, y, 0.7); }},
      {"tanh", [](T x, T) { return x.tanh(); }},
      {"threshold", [](T x, T) { return at::threshold(x, 0.5, -3.0); }},
      {"tril", [](T x, T) { return x.tril(1); }},
      {"triu", [](T x, T) { return x.triu(-1); }},
      {"where.self", [](T x, T y) { return at::where(x > y, x, y); }},
  };
}

}  // namespace invact
