#include "kernels/reference/reference.h"

#include <cmath>
#include <limits>

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The logistic function without overflow or cancellation.
double Logistic(double z) {
  return z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z));
}

double TanhArgument(double x) {
  return std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
}

// ln(1 + exp(z)) without overflow or cancellation.
double LogOnePlusExp(double z) {
  return std::fmax(z, 0) + std::log1p(std::exp(-std::fabs(z)));
}

double Clamp(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

bool OnlyRises(int function) {
  return function == INVACT_REFERENCE_SOFTPLUS ||
         function == INVACT_REFERENCE_SOFTPLUS_3_30 ||
         function == INVACT_REFERENCE_LOGSIGMOID ||
         function == INVACT_REFERENCE_HARDSIGMOID;
}

}  // namespace

double invact_reference_value(int function, double x) {
  if (function == INVACT_REFERENCE_LEAKY_RELU_FALLING) {
    return x > 0 ? x : x * -0.125;
  }
  if (x == kInfinity) {
    if (function == INVACT_REFERENCE_LOGSIGMOID) return -0.0;
    return function == INVACT_REFERENCE_HARDSIGMOID ? 1 : x;
  }
  if (x == -kInfinity) {
    if (function == INVACT_REFERENCE_LOGSIGMOID) return x;
    return OnlyRises(function) ? 0.0 : -0.0;
  }
  switch (function) {
    case INVACT_REFERENCE_GELU:
      return x * (std::erfc(-x * M_SQRT1_2) / 2);
    case INVACT_REFERENCE_GELU_TANH:
      // (1 + tanh(z)) / 2 is the logistic function of 2 z.
      return x * Logistic(2 * TanhArgument(x));
    case INVACT_REFERENCE_SILU:
      return x * Logistic(x);
    case INVACT_REFERENCE_MISH:
      return x * std::tanh(LogOnePlusExp(x));
    case INVACT_REFERENCE_HARDSWISH:
      return x * Clamp(x + 3, 0, 6) / 6;
    case INVACT_REFERENCE_SOFTPLUS:
      return x > 20 ? x : LogOnePlusExp(x);
    case INVACT_REFERENCE_SOFTPLUS_3_30:
      return 3 * x > 30 ? x : LogOnePlusExp(3 * x) / 3;
    case INVACT_REFERENCE_LOGSIGMOID:
      return -LogOnePlusExp(-x);
    default:
      return Clamp(x + 3, 0, 6) / 6;
  }
}

double invact_reference_slope(int function, double x) {
  if (function == INVACT_REFERENCE_LEAKY_RELU_FALLING) {
    return x > 0 ? 1 : -0.125;
  }
  if (std::isinf(x)) {
    if (function == INVACT_REFERENCE_HARDSIGMOID) return 0;
    return (x > 0) != (function == INVACT_REFERENCE_LOGSIGMOID) ? 1 : 0;
  }
  if (std::isnan(x)) return x;
  switch (function) {
    case INVACT_REFERENCE_GELU:
      return std::erfc(-x * M_SQRT1_2) / 2 +
             x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
    case INVACT_REFERENCE_GELU_TANH: {
      if (std::fabs(x) > 40) return x > 0 ? 1 : 0;
      const double z = 2 * TanhArgument(x);
      const double inner = 2 * std::sqrt(2 / M_PI) * (1 + 0.134145 * x * x);
      return Logistic(z) * (1 + x * inner * Logistic(-z));
    }
    case INVACT_REFERENCE_SILU:
      return Logistic(x) * (1 + x * Logistic(-x));
    case INVACT_REFERENCE_MISH: {
      // 1 - tanh(z)^2 is 4 times a logistic function times its mirror image.
      const double z = LogOnePlusExp(x);
      const double rest = 4 * Logistic(2 * z) * Logistic(-2 * z);
      return std::tanh(z) + x * rest * Logistic(x);
    }
    case INVACT_REFERENCE_HARDSWISH:
      return x <= -3 ? 0 : x < 3 ? (2 * x + 3) / 6 : 1;
    case INVACT_REFERENCE_SOFTPLUS:
      return x > 20 ? 1 : Logistic(x);
    case INVACT_REFERENCE_SOFTPLUS_3_30:
      return 3 * x > 30 ? 1 : Logistic(3 * x);
    case INVACT_REFERENCE_LOGSIGMOID:
      return Logistic(-x);
    default:
      return x > -3 && x < 3 ? 1.0 / 6 : 0;
  }
}

double invact_reference_minimum(int function) {
  if (OnlyRises(function)) return std::numeric_limits<double>::quiet_NaN();
  double low = -3, high = 0;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (invact_reference_slope(function, middle) < 0 ? low : high) = middle;
  }
  return high;
}

double invact_reference_inverse(int function, double y, int left) {
  if (std::isnan(y)) return y;
  if (function == INVACT_REFERENCE_LEAKY_RELU_FALLING) {
    return y <= 0 ? 0 : left ? y / -0.125 : y;
  }
  if (y == kInfinity) return y;
  double low = -800 - std::fabs(y), high = 800 + std::fabs(y);
  if (OnlyRises(function)) {
    left = 0;
  } else {
    const double minimum = invact_reference_minimum(function);
    if (y <= invact_reference_value(function, minimum)) return minimum;
    if (left && y >= 0) return -kInfinity;
    (left ? high : low) = minimum;
  }
  for (int i = 0; i < 200 && low < high; ++i) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    const bool above = invact_reference_value(function, middle) > y;
    (above != (left != 0) ? high : low) = middle;
  }
  return low + (high - low) / 2;
}
