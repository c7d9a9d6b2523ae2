// The table of f' by the bits of y against float64 and the floor, both from all
// patterns: what it decodes every finite x to, and what it gives at the ends.
#include "kernels/pattern_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/reference/reference.h"
#include "tests/unit/kernels/floor.h"
#include "tests/unit/kernels/number.h"
#include "tests/unit/kernels/patterns.h"
#include "tests/unit/kernels/sample.h"

namespace invact::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Function {
  std::string name;
  int reference;
};

class PatternTableTest
    : public testing::TestWithParam<std::tuple<Function, int>> {
 protected:
  int function() const { return std::get<0>(GetParam()).reference; }
  int dtype() const { return std::get<1>(GetParam()); }
  int length() const { return 13 << kFormats[dtype()].mantissa; }
  float x0() const {
    const double minimum = invact_reference_minimum(function());
    return std::isnan(minimum) ? -kInfinity : static_cast<float>(minimum);
  }
  double SlopeOf(double x) const {
    return invact_reference_slope(function(), x);
  }
  double Value(double x) const { return invact_reference_value(function(), x); }

  PatternTable Table() const {
    const Patterns patterns(dtype(), function());
    return MakePatternTable(patterns.view, dtype(), x0(), length());
  }
};

// Thirteen octaves lose next to nothing: a slope held at a run's end is off by
// less than 2^-10.
TEST_P(PatternTableTest, ErrorIsAtTheFloor) {
  const PatternTable table = Table();
  const Sample sample = SampleOf(dtype(), function());

  double worst = 0, squares = 0, weights = 0;
  for (size_t i = 0; i < sample.bits.size(); ++i) {
    const double x = FromBits(dtype(), sample.bits[i]);
    const uint16_t y = static_cast<uint16_t>(ToBits(dtype(), Value(x)));
    const int at = table.layout.Index(y, x < x0());
    const double error = std::fabs(table.slopes[at] - SlopeOf(x));
    worst = std::max(worst, error);
    squares += sample.weights[i] * error * error;
    weights += sample.weights[i];
  }

  const Floor floor = FloorOf(dtype(), function());
  const double rms = std::sqrt(squares / weights);
  RecordProperty("largest", std::to_string(worst));
  RecordProperty("rms", std::to_string(rms));
  EXPECT_LE(worst, std::max(1.001 * floor.largest, 0x1p-10));
  EXPECT_LE(rms, 1.01 * floor.rms + 1e-6);
}

TEST_P(PatternTableTest, LargestInputsHaveTheirLimit) {
  const PatternTable table = Table();
  const double largest = FromBits(dtype(), ToBits(dtype(), INFINITY) - 1);

  for (double x : {largest, -largest}) {
    const uint16_t y = static_cast<uint16_t>(ToBits(dtype(), Value(x)));
    const int at = table.layout.Index(y, x < x0());
    // Elsewhere y has an entry of its own, and that is the middle of its range.
    const int within = at % length();
    if (within == 0 || within == length() - 1) {
      EXPECT_EQ(table.slopes[at], static_cast<float>(SlopeOf(x))) << x;
    }
  }
}

// Every stored pattern with either bit finds an entry, and a sane one.
TEST_P(PatternTableTest, EveryCodeHasASlopeOfTheFunction) {
  const PatternTable table = Table();
  ASSERT_EQ(table.slopes.size(), static_cast<size_t>(4 * length()));
  double least = 0, most = 0;
  for (uint32_t bits = 0; bits < INVACT_PATTERNS; ++bits) {
    const double slope = SlopeOf(FromBits(dtype(), bits));
    if (!std::isfinite(slope)) continue;
    least = std::min(least, slope);
    most = std::max(most, slope);
  }

  for (uint32_t y = 0; y < INVACT_PATTERNS; ++y) {
    for (bool left : {false, true}) {
      const int at = table.layout.Index(static_cast<uint16_t>(y), left);
      ASSERT_GE(at, 0);
      ASSERT_LT(at, table.layout.Entries());
      ASSERT_GE(table.slopes[at], least - 1e-6) << y << left;
      ASSERT_LE(table.slopes[at], most + 1e-6) << y << left;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, PatternTableTest,
    testing::Combine(
        testing::Values(Function{"gelu", INVACT_REFERENCE_GELU},
                        Function{"gelu_tanh", INVACT_REFERENCE_GELU_TANH},
                        Function{"silu", INVACT_REFERENCE_SILU},
                        Function{"mish", INVACT_REFERENCE_MISH},
                        Function{"hardswish", INVACT_REFERENCE_HARDSWISH},
                        Function{"softplus", INVACT_REFERENCE_SOFTPLUS},
                        Function{"log_sigmoid", INVACT_REFERENCE_LOGSIGMOID},
                        Function{"hardsigmoid", INVACT_REFERENCE_HARDSIGMOID}),
        testing::Values<int>(INVACT_BF16, INVACT_F16)),
    [](const testing::TestParamInfo<std::tuple<Function, int>>& info) {
      return std::get<0>(info.param).name +
             (std::get<1>(info.param) == INVACT_BF16 ? "_bf16" : "_f16");
    });

constexpr int kLength = 13 * 128;

TEST(PatternTable, CodesWithoutAnInputLieBetweenTheirNeighbours) {
  // y takes every eighth pattern only.
  const auto coarse = [](double x) {
    return FromBits(INVACT_BF16, ToBits(INVACT_BF16, x) & ~7u);
  };
  const auto slope = [](double x) {
    return std::isfinite(x) ? 1 / (1 + std::exp(-x)) : x;
  };
  const Patterns patterns(INVACT_BF16, coarse, slope);

  const PatternTable table =
      MakePatternTable(patterns.view, INVACT_BF16, -kInfinity, kLength);

  const auto at = [&](uint32_t y) {
    return table.slopes[table.layout.Index(static_cast<uint16_t>(y), false)];
  };
  const uint32_t one = ToBits(INVACT_BF16, 1);
  ASSERT_LT(at(one), at(one + 8));
  for (int gap = 1; gap < 8; ++gap) {
    EXPECT_NEAR(at(one + gap),
                at(one) + (at(one + 8) - at(one)) * static_cast<float>(gap) / 8,
                1e-6);
  }
}

TEST(PatternTable, BranchesOnEitherSideOfZeroAreKeptApart) {
  // Two lines that meet at 0: y is never negative, and the bit alone tells.
  const Patterns patterns(
      INVACT_BF16, [](double x) { return x < 0 ? -x / 4 : x; },
      [](double x) { return x < 0 ? -0.25 : 1; });

  const PatternTable table =
      MakePatternTable(patterns.view, INVACT_BF16, 0, kLength);

  for (double y : {1e-30, 0.01, 1.0, 100.0, 1e30}) {
    const uint16_t bits = static_cast<uint16_t>(ToBits(INVACT_BF16, y));
    EXPECT_EQ(table.slopes[table.layout.Index(bits, false)], 1) << y;
    EXPECT_EQ(table.slopes[table.layout.Index(bits, true)], -0.25f) << y;
  }
}

TEST(PatternTable, WithoutBranchesTheBitSaysNothing) {
  const Patterns patterns(
      INVACT_BF16, [](double x) { return x; }, [](double) { return 1; });

  const PatternTable table =
      MakePatternTable(patterns.view, INVACT_BF16, -kInfinity, kLength);

  for (float slope : table.slopes) ASSERT_EQ(slope, 1);
}

TEST(PatternTable, NothingFiniteGivesZeros) {
  const Patterns patterns(
      INVACT_BF16, [](double x) { return x; },
      [](double) { return std::numeric_limits<double>::quiet_NaN(); });

  const PatternTable table =
      MakePatternTable(patterns.view, INVACT_BF16, -kInfinity, kLength);

  ASSERT_EQ(table.slopes.size(), 4u * kLength);
  for (float slope : table.slopes) ASSERT_EQ(slope, 0);
}

}  // namespace
}  // namespace invact::kernels
