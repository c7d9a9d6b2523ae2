// What a host tells a kernel library of a 16-bit dtype, from a function in
// float64: y of every pattern, rounded correctly, and the slope.
#ifndef INVACT_TESTS_UNIT_KERNELS_PATTERNS_H_
#define INVACT_TESTS_UNIT_KERNELS_PATTERNS_H_

#include <cstdint>
#include <vector>

#include "kernels/kernel_api.h"
#include "kernels/reference/reference.h"
#include "tests/unit/kernels/number.h"

namespace invact::kernels {

struct Patterns {
  std::vector<uint16_t> y;
  std::vector<float> slope;
  invact_patterns view;

  template <class Value, class Slope>
  Patterns(int dtype, Value value, Slope slope_of) {
    for (uint32_t bits = 0; bits < INVACT_PATTERNS; ++bits) {
      const double x = FromBits(dtype, bits);
      y.push_back(static_cast<uint16_t>(ToBits(dtype, value(x))));
      slope.push_back(static_cast<float>(slope_of(x)));
    }
    view = {sizeof(view), 0, y.data(), slope.data()};
  }

  // Of a function of the reference.
  Patterns(int dtype, int function)
      : Patterns(
            dtype,
            [function](double x) {
              return invact_reference_value(function, x);
            },
            [function](double x) {
              return invact_reference_slope(function, x);
            }) {}

  Patterns(const Patterns&) = delete;
  Patterns& operator=(const Patterns&) = delete;
};

}  // namespace invact::kernels

#endif  // INVACT_TESTS_UNIT_KERNELS_PATTERNS_H_
