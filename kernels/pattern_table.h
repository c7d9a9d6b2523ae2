// f' of a 16-bit dtype looked up by the bits of y and the branch bit: the
// decoder at the floor for that dtype. The kernels that read it do not know
// which function they serve. Plain C++, for the host side of every device.
#ifndef INVACT_KERNELS_PATTERN_TABLE_H_
#define INVACT_KERNELS_PATTERN_TABLE_H_

#include <cstdint>
#include <vector>

#include "kernels/kernel_api.h"

namespace invact::kernels {

// Which entry a y has. Four runs of `length` entries: y from +0, y from -0,
// then the same two left of the minimum. In a run the bits of |y| count from
// `first` of the sign of y; what lies below or above is held at the run's ends.
struct PatternLayout {
  int32_t length;
  int32_t first[2];  // at least 1

  constexpr int32_t Entries() const { return 4 * length; }
  constexpr int32_t Index(uint16_t y, bool left) const {
    const int sign = y >> 15;
    const int32_t code = (y & 0x7fff) - first[sign];
    const int32_t held = code < 0 ? 0 : code < length ? code : length - 1;
    return held + (sign + 2 * left) * length;
  }
};

struct PatternTable {
  PatternLayout layout;
  std::vector<float> slopes;  // layout.Entries()
};

// The table of `length` entries a run from y and f' of all patterns of `dtype`
// (bfloat16 or float16), x < x0 being left. An entry is the middle of the range
// of f' over all finite x that it stands for, which is the least largest error;
// an end of a run that reaches to the largest finite x has f' there. Entries
// without an x lie on the line between their neighbours. Each run is put where
// f' still changes: above, it is within 2^-11 of its last value.
// x0: -infinity for a function without branches.
PatternTable MakePatternTable(const invact_patterns& patterns, int dtype,
                              float x0, int length);

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_PATTERN_TABLE_H_
