#include "kernels/cpu/slopes.h"

#include <limits>
#include <memory>
#include <new>

#include "kernels/pattern_table.h"

namespace invact::kernels {

const float* MakeSlopes(const invact_patterns& patterns, int dtype, float x0,
                        bool left_nan_is_limit) try {
  // As long as a run can be: each size of y has an entry of its own.
  const PatternTable table = MakePatternTable(patterns, dtype, x0, 0x7fff);
  const int infinity = dtype == INVACT_BF16 ? 0x7f80 : 0x7c00;
  auto slopes = std::make_unique<float[]>(2 * INVACT_PATTERNS);
  for (int y = 0; y < INVACT_PATTERNS; ++y) {
    const bool nan = (y & 0x7fff) > infinity;
    for (const bool left : {false, true}) {
      slopes[y + INVACT_PATTERNS * left] =
          nan ? (left && left_nan_is_limit
                     ? patterns.slope[0x8000 | infinity]
                     : std::numeric_limits<float>::quiet_NaN())
              : table
                    .slopes[table.layout.Index(static_cast<uint16_t>(y), left)];
    }
  }
  return slopes.release();
} catch (const std::bad_alloc&) {
  return nullptr;
}

}  // namespace invact::kernels
