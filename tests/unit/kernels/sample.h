// The inputs that the kernels are judged on, with their weight under N(0, 1).
#ifndef INVACT_TESTS_UNIT_KERNELS_SAMPLE_H_
#define INVACT_TESTS_UNIT_KERNELS_SAMPLE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/reference/reference.h"
#include "tests/unit/kernels/number.h"

namespace invact::kernels {

struct Sample {
  std::vector<uint32_t> bits;
  std::vector<double> weights;

  void Add(int dtype, uint32_t pattern, double width) {
    const double x = FromBits(dtype, pattern);
    bits.push_back(pattern);
    weights.push_back(width * std::exp(-x * x / 2));
  }
};

// All finite 16-bit patterns, weighted by the width that each stands for; for
// float32 a grid over [-14, 30], and apart from it (weight 0) every 5th number
// within 1e-3 of the minimum, where y changes least, and all next to the kinks
// that some functions have at -3 and 3.
inline Sample SampleOf(int dtype, int function) {
  Sample sample;
  if (dtype != INVACT_F32) {
    const Format& f = kFormats[dtype];
    for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
      const double x = FromBits(dtype, pattern);
      if (!std::isfinite(x)) continue;
      const int exponent =
          x == 0 ? f.least : std::max(f.least, std::ilogb(std::fabs(x)));
      sample.Add(dtype, pattern, std::ldexp(1.0, exponent - f.mantissa));
    }
    return sample;
  }
  constexpr int kSteps = 400000;
  for (int i = 0; i <= kSteps; ++i) {
    sample.Add(dtype, ToBits(dtype, -14 + 44.0 * i / kSteps), 1);
  }
  for (double kink : {-3.0, 3.0}) {
    const uint32_t middle = ToBits(dtype, kink);
    for (uint32_t pattern = middle - 500; pattern < middle + 500; ++pattern) {
      sample.Add(dtype, pattern, 0);
    }
  }
  const double x0 = invact_reference_minimum(function);
  if (!(x0 < 0)) return sample;  // the patterns below go through one sign
  for (uint32_t pattern = ToBits(dtype, x0 + 1e-3),
                last = ToBits(dtype, x0 - 1e-3);
       pattern < last; pattern += 5) {
    sample.Add(dtype, pattern, 0);
  }
  return sample;
}

}  // namespace invact::kernels

#endif  // INVACT_TESTS_UNIT_KERNELS_SAMPLE_H_
