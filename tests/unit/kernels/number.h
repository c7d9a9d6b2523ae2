// Between float64 and the bits of the three dtypes, by integer arithmetic of
// their definition: independent of the kernels' conversions.
#ifndef INVACT_TESTS_UNIT_KERNELS_NUMBER_H_
#define INVACT_TESTS_UNIT_KERNELS_NUMBER_H_

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/kernel_api.h"

namespace invact::kernels {

struct Format {
  int bytes;
  int mantissa;  // explicit bits
  int least;     // exponent of the smallest normal number
  int most;      // exponent of the largest finite number
};

inline constexpr Format kFormats[INVACT_DTYPES] = {
    {4, 23, -126, 127}, {2, 7, -126, 127}, {2, 10, -14, 15}};

inline double FromBits(int dtype, uint32_t bits) {
  const Format& f = kFormats[dtype];
  const uint32_t mantissa = bits & ((1u << f.mantissa) - 1);
  const int exponent_bits = f.bytes * 8 - 1 - f.mantissa;
  const uint32_t exponent = bits >> f.mantissa & ((1u << exponent_bits) - 1);
  const double sign = bits >> (f.bytes * 8 - 1) ? -1.0 : 1.0;
  if (exponent == (1u << exponent_bits) - 1) {
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) {
    return sign * std::ldexp(mantissa, f.least - f.mantissa);
  }
  return sign *
         std::ldexp(mantissa + (1u << f.mantissa),
                    f.least + static_cast<int>(exponent) - 1 - f.mantissa);
}

// Nearest, ties to even.
inline uint32_t ToBits(int dtype, double value) {
  const Format& f = kFormats[dtype];
  const uint32_t sign = std::signbit(value) ? 1u << (f.bytes * 8 - 1) : 0;
  const uint32_t infinity = static_cast<uint32_t>(f.most - f.least + 2)
                            << f.mantissa;
  if (std::isnan(value)) return infinity | 1u << (f.mantissa - 1);
  const double size = std::fabs(value);
  if (size == 0) return sign;
  if (std::isinf(size)) return sign | infinity;
  int exponent = std::ilogb(size);
  if (exponent < f.least) exponent = f.least;
  // An integer number of steps, rounded in the current mode: to even.
  const double steps = std::nearbyint(std::ldexp(size, f.mantissa - exponent));
  const uint64_t bits =
      (static_cast<uint64_t>(exponent - f.least) << f.mantissa) +
      static_cast<uint64_t>(steps);
  return sign | (bits > infinity ? infinity : static_cast<uint32_t>(bits));
}

inline double Rounded(int dtype, double value) {
  return FromBits(dtype, ToBits(dtype, value));
}

}  // namespace invact::kernels

#endif  // INVACT_TESTS_UNIT_KERNELS_NUMBER_H_
