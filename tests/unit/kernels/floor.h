// The least error that any decoder of a 16-bit y and one branch bit can have,
// from all patterns: inputs with one (y, bit), or whatever else is stored of
// them, cannot be told apart.
#ifndef INVACT_TESTS_UNIT_KERNELS_FLOOR_H_
#define INVACT_TESTS_UNIT_KERNELS_FLOOR_H_

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "kernels/reference/reference.h"
#include "tests/unit/kernels/number.h"
#include "tests/unit/kernels/sample.h"

namespace invact::kernels {

struct Floor {
  double largest;  // half the range of f' over the x of one code
  double rms;      // f' about its mean over the x of one code, x ~ N(0, 1)
};

// `stored` of (y, bit) is all that is kept.
template <class Stored>
Floor FloorOf(int dtype, int function, Stored stored) {
  struct Code {
    double least = 1e9, most = -1e9, weight = 0, sum = 0, squares = 0;
  };
  const Sample sample = SampleOf(dtype, function);
  const double x0 = invact_reference_minimum(function);
  std::unordered_map<uint32_t, Code> codes;
  for (size_t i = 0; i < sample.bits.size(); ++i) {
    const double x = FromBits(dtype, sample.bits[i]);
    const double slope = invact_reference_slope(function, x);
    const uint32_t y = ToBits(dtype, invact_reference_value(function, x));
    Code& code = codes[stored(y, x < x0 ? 1u : 0u)];  // no NaN is less
    code.least = std::min(code.least, slope);
    code.most = std::max(code.most, slope);
    code.weight += sample.weights[i];
    code.sum += sample.weights[i] * slope;
    code.squares += sample.weights[i] * slope * slope;
  }
  Floor floor = {0, 0};
  double weight = 0;
  for (const auto& [bits, code] : codes) {
    floor.largest = std::max(floor.largest, (code.most - code.least) / 2);
    weight += code.weight;
    if (code.weight > 0) {
      floor.rms +=
          std::max(0.0, code.squares - code.sum * code.sum / code.weight);
    }
  }
  floor.rms = std::sqrt(floor.rms / weight);
  return floor;
}

inline Floor FloorOf(int dtype, int function) {
  return FloorOf(dtype, function,
                 [](uint32_t y, uint32_t bit) { return y << 1 | bit; });
}

}  // namespace invact::kernels

#endif  // INVACT_TESTS_UNIT_KERNELS_FLOOR_H_
