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

}  // namespace

double invact_reference_value(int function, double x) {
  if (x == kInfinity) return x;
  if (x == -kInfinity) return -0.0;
  switch (function) {
    case INVACT_REFERENCE_GELU:
      return x * (std::erfc(-x * M_SQRT1_2) / 2);
    case INVACT_REFERENCE_GELU_TANH:
      // (1 + tanh(z)) / 2 is the logistic function of 2 z.
      return x * Logistic(2 * TanhArgument(x));
    default:
      return x * Logistic(x);
  }
}

double invact_reference_slope(int function, double x) {
  if (x == kInfinity) return 1;
  if (x == -kInfinity) return 0;
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
    default:
      return Logistic(x) * (1 + x * Logistic(-x));
  }
}

double invact_reference_minimum(int function) {
  double low = -3, high = 0;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (invact_reference_slope(function, middle) < 0 ? low : high) = middle;
  }
  return high;
}

double invact_reference_inverse(int function, double y, int left) {
  if (std::isnan(y)) return y;
  const double minimum = invact_reference_minimum(function);
  if (y <= invact_reference_value(function, minimum)) return minimum;
  if (left && y >= 0) return -kInfinity;
  if (y == kInfinity) return y;
  double low = left ? -800 : minimum;
  double high = left ? minimum : std::fabs(y) + 2;
  for (int i = 0; i < 200 && low < high; ++i) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    const bool above = invact_reference_value(function, middle) > y;
    (above != (left != 0) ? high : low) = middle;
  }
  return low + (high - low) / 2;
}
