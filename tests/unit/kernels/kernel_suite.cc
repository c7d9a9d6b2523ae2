// What every kernel promises, on every subject that the program lists: against
// float64 for all 16-bit patterns and a dense float32 grid.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>

#include "kernels/reference/reference.h"
#include "tests/unit/kernels/cases.h"
#include "tests/unit/kernels/harness.h"
#include "tests/unit/kernels/number.h"
#include "tests/unit/kernels/sample.h"
#include "tests/unit/kernels/subject.h"

namespace invact::kernels {

std::vector<Subject> SubjectsOf(const std::string& prefix,
                                const invact_activation& activation,
                                const std::shared_ptr<Memory>& memory) {
  std::vector<Subject> subjects;
  for (const Case& one : CasesOf(activation.op, activation.variant)) {
    subjects.push_back({prefix + "_" + one.name, &activation, memory,
                        one.reference, one.scalars});
  }
  return subjects;
}

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

class KernelTest : public testing::TestWithParam<std::tuple<size_t, int>> {
 protected:
  const Subject& subject() const { return Subjects()[std::get<0>(GetParam())]; }
  int dtype() const { return std::get<1>(GetParam()); }
  int function() const { return subject().reference; }
  double Value(double x) const { return invact_reference_value(function(), x); }
  double SlopeOf(double x) const {
    return invact_reference_slope(function(), x);
  }
  uint32_t Pattern(double value) const { return ToBits(dtype(), value); }
  double Number(uint32_t pattern) const { return FromBits(dtype(), pattern); }
  Bits Ones(size_t count) const { return Bits(count, Pattern(1)); }
  double x0() const { return invact_reference_minimum(function()); }

  bool marks() const { return subject().activation->side_bits > 0; }
  // A flat piece, where f' is 0 and NaN may become it, as in PyTorch.
  bool flat() const {
    return function() == INVACT_REFERENCE_HARDSIGMOID ||
           function() == INVACT_REFERENCE_HARDSWISH;
  }

  // PyTorch multiplies by up to 6 before it divides; on CUDA so do kernels.
  bool MayOverflow(double x) const {
    return function() == INVACT_REFERENCE_HARDSWISH && x > 5e37;
  }
  // Of a NaN y, too, leaky ReLU has a slope, and 0 may come of a flat piece.
  bool IsOfNan(double slope) const {
    return std::isnan(slope) || (flat() && slope == 0) || slope == SlopeOf(NAN);
  }

  Bytes SideOf(const Bits& x) const {
    if (!marks()) return {};
    Bytes side(INVACT_SIDE_BYTES(x.size()));
    const float boundary = static_cast<float>(x0());
    for (size_t i = 0; i < x.size(); ++i) {
      if (static_cast<float>(Number(x[i])) < boundary)
        side[i / 8] |= 1 << i % 8;
    }
    return side;
  }

  // dx for dy == 1 against f'(x). dx is rounded to the dtype, which the stated
  // bounds leave out: half a step comes on top of the largest error, and the
  // rounding's own root mean square on top of the other.
  void ExpectGradient(const Sample& sample, const Bits& dx) const {
    const invact_activation& activation = *subject().activation;
    double squares = 0, rounding = 0, weights = 0, worst = 0, at = 0;
    for (size_t i = 0; i < dx.size(); ++i) {
      const double x = Number(sample.bits[i]);
      const double truth = SlopeOf(x), got = Number(dx[i]);
      ASSERT_FALSE(std::isnan(got)) << "x = " << x;
      const double error = std::fabs(got - truth);
      const double half_step =
          std::ldexp(std::fabs(got) + 1e-30, -kFormats[dtype()].mantissa - 1);
      if (error - half_step > worst) {
        worst = error - half_step;
        at = x;
      }
      const double round = Rounded(dtype(), truth) - truth;
      squares += sample.weights[i] * error * error;
      rounding += sample.weights[i] * round * round;
      weights += sample.weights[i];
    }
    const double rms = std::sqrt(squares / weights);
    const double most_rms =
        1.02 * std::sqrt(std::pow(activation.error_rms[dtype()], 2) +
                         rounding / weights);
    Report("largest_error", worst, activation.error_max[dtype()]);
    Report("rms_with_rounding", rms, most_rms);
    EXPECT_LE(worst, activation.error_max[dtype()]) << "at x = " << at;
    EXPECT_LE(rms, most_rms);
  }

  // A figure for people and for the JSON of --gtest_output.
  void Report(const char* what, double value, double most) const {
    static const char* const kDtypes[] = {"f32", "bf16", "f16"};
    char text[64];
    std::snprintf(text, sizeof(text), "%.3e (at most %.2e)", value, most);
    testing::Test::RecordProperty(what, text);
    std::printf("%-16s %-4s %-17s %s\n", subject().name.c_str(),
                kDtypes[dtype()], what, text);
  }
};

TEST_P(KernelTest, GradientOfCorrectlyRoundedOutputStaysInBounds) {
  const Sample sample = SampleOf(dtype(), function());
  Bits y(sample.bits.size());
  std::transform(sample.bits.begin(), sample.bits.end(), y.begin(),
                 [&](uint32_t x) { return Pattern(Value(Number(x))); });

  const Bits dx = Harness(subject(), dtype())
                      .Backward(y, SideOf(sample.bits), Ones(y.size()));

  ExpectGradient(sample, dx);
}

TEST_P(KernelTest, GradientAfterItsOwnForwardStaysInBounds) {
  const Sample sample = SampleOf(dtype(), function());
  const Harness harness(subject(), dtype());

  const Forwarded forwarded = harness.Forward(sample.bits);

  EXPECT_EQ(forwarded.side, SideOf(sample.bits));
  ExpectGradient(sample, harness.Backward(forwarded.y, forwarded.side,
                                          Ones(sample.bits.size())));
}

TEST_P(KernelTest, ForwardIsWithinAStepOfTheTruth) {
  const Sample sample = SampleOf(dtype(), function());

  const Bits y = Harness(subject(), dtype()).Forward(sample.bits).y;

  // Two float32 steps of the factor that x is multiplied by, then rounding.
  for (size_t i = 0; i < y.size(); ++i) {
    const double x = Number(sample.bits[i]), truth = Value(x);
    const double step =
        std::ldexp(std::fabs(truth), -kFormats[dtype()].mantissa);
    const double least =
        std::ldexp(1.0, kFormats[dtype()].least - kFormats[dtype()].mantissa);
    const double allowed = std::fabs(x) * 0x1p-23 +
                           (dtype() == INVACT_F32 ? 4 : 0.51) * step + least;
    if (MayOverflow(x) && Number(y[i]) == kInfinity) continue;
    ASSERT_LE(std::fabs(Number(y[i]) - truth), allowed) << "x = " << x;
  }
}

TEST_P(KernelTest, NoStoredPatternGivesNanUnlessItIsNan) {
  Bits y;
  for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
    y.push_back(dtype() == INVACT_F32 ? pattern << 16 | (pattern & 0xffff)
                                      : pattern);
  }
  const Harness harness(subject(), dtype());
  for (uint8_t bits : {0x00, 0xff}) {
    const Bits dx = harness.Backward(
        y, marks() ? Bytes(INVACT_SIDE_BYTES(y.size()), bits) : Bytes(),
        Ones(y.size()));
    for (size_t i = 0; i < y.size(); ++i) {
      const double stored = Number(y[i]), slope = Number(dx[i]);
      if (std::isnan(stored)) {
        ASSERT_TRUE(IsOfNan(slope)) << int{bits};
        continue;
      }
      // NaN is in no range.
      ASSERT_GE(slope, flat() ? -0.500001 : -0.2)
          << "y = " << stored << " bits " << int{bits};
      ASSERT_LE(slope, flat() ? 1.500001 : 1.2)
          << "y = " << stored << " bits " << int{bits};
    }
  }
}

TEST_P(KernelTest, SpecialInputsGiveTheirLimits) {
  const Format& f = kFormats[dtype()];
  const double largest = Number(Pattern(kInfinity) - 1);
  const double least = std::ldexp(1.0, f.least - f.mantissa);
  const Bits x = {Pattern(0.0),       Pattern(-0.0),       Pattern(least),
                  Pattern(-least),    Pattern(largest),    Pattern(-largest),
                  Pattern(kInfinity), Pattern(-kInfinity), Pattern(NAN)};
  const Harness harness(subject(), dtype());

  const Forwarded forwarded = harness.Forward(x);
  const Bits dx = harness.Backward(forwarded.y, forwarded.side, Ones(x.size()));

  for (size_t i = 0; i < x.size(); ++i) {
    const double input = Number(x[i]), y = Number(forwarded.y[i]);
    const double slope = Number(dx[i]);
    if (std::isnan(y)) {  // of NaN, and as PyTorch: -inf times 0
      EXPECT_TRUE(std::isnan(input) || input == -kInfinity) << input;
      EXPECT_TRUE(IsOfNan(slope)) << input;
    } else if (input >= largest || input <= -largest || input == 0) {
      const double truth = Rounded(dtype(), Value(input));
      EXPECT_TRUE(y == truth ||
                  std::fabs(y - truth) < 1e-6 * std::fabs(truth) ||
                  (MayOverflow(input) && y == kInfinity))
          << input << " gives " << y;
      if (marks()) {
        EXPECT_EQ(std::signbit(y), std::signbit(truth)) << input;
      }
      EXPECT_NEAR(slope, SlopeOf(input), input == 0 ? 5e-3 : 1e-6) << input;
    } else {
      EXPECT_NEAR(slope, SlopeOf(input), 5e-3) << input;
    }
  }
}

TEST_P(KernelTest, GradientIsScaledByDy) {
  const Sample sample = SampleOf(dtype(), function());
  const Bits x(sample.bits.begin(), sample.bits.begin() + 60000);
  const Harness harness(subject(), dtype());
  const Forwarded forwarded = harness.Forward(x);

  const Bits once =
      harness.Backward(forwarded.y, forwarded.side, Ones(x.size()));
  const Bits four = harness.Backward(forwarded.y, forwarded.side,
                                     Bits(x.size(), Pattern(-4)));
  const Bits not_one = harness.Backward(forwarded.y, forwarded.side,
                                        Bits(x.size(), Pattern(NAN)));

  for (size_t i = 0; i < x.size(); ++i) {
    const double slope = Number(once[i]);
    if (std::fabs(slope) > 1e-3) {
      ASSERT_EQ(Number(four[i]), -4 * slope) << Number(x[i]);
    }
    ASSERT_TRUE(std::isnan(Number(not_one[i])) || (flat() && slope == 0));
  }
}

TEST_P(KernelTest, EveryLengthAndOffsetGivesTheSameElements) {
  Bits x(65), dy(65);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = Pattern(-4 + 0.11 * i);
    dy[i] = Pattern(1 + 0.25 * i);
  }
  const Harness whole(subject(), dtype());
  const Forwarded expected = whole.Forward(x);
  const Bits expected_dx = whole.Backward(expected.y, expected.side, dy);
  const Bits expected_x = whole.Reconstruct(expected.y, expected.side);

  for (int offset : {0, 1, 3}) {
    const Harness harness(subject(), dtype(), offset);
    for (size_t n = 0; n <= x.size(); ++n) {
      const auto first = [n](const Bits& all) {
        return Bits(all.begin(), all.begin() + n);
      };
      Bytes side = expected.side;
      if (marks()) side.resize(INVACT_SIDE_BYTES(n));
      if (marks() && n % 8) side.back() &= (1 << n % 8) - 1;

      const Forwarded forwarded = harness.Forward(first(x));

      ASSERT_EQ(forwarded.y, first(expected.y)) << n << " at " << offset;
      ASSERT_EQ(forwarded.side, side) << n << " at " << offset;
      if (marks()) {
        ASSERT_EQ(harness.Mark(first(x)), side) << n << " at " << offset;
        if (n % 8) side.back() |= 0xff << n % 8;  // unused bits are not read
      }
      ASSERT_EQ(harness.Backward(forwarded.y, side, first(dy)),
                first(expected_dx))
          << n << " at " << offset;
      ASSERT_EQ(harness.Reconstruct(forwarded.y, side), first(expected_x))
          << n << " at " << offset;
    }
  }
}

TEST_P(KernelTest, OutputsMayReplaceInputs) {
  const Sample sample = SampleOf(dtype(), function());
  const Bits x(sample.bits.begin(), sample.bits.begin() + 5003);
  const Harness harness(subject(), dtype());
  const Forwarded apart = harness.Forward(x);

  const Forwarded inside = harness.ForwardInPlace(x);

  EXPECT_EQ(inside.y, apart.y);
  EXPECT_EQ(inside.side, apart.side);
  EXPECT_EQ(harness.BackwardIntoDy(apart.y, apart.side, x),
            harness.Backward(apart.y, apart.side, x));
}

// Where f is flat, or far left as good as flat, any x of the piece will do.
TEST_P(KernelTest, ReconstructedInputIsAsNearAsTheOutputTells) {
  const Sample sample = SampleOf(dtype(), function());
  Bits y, x;
  for (size_t i = 0; i < sample.bits.size(); i += dtype() ? 3 : 23) {
    const uint32_t pattern = sample.bits[i];
    if (std::fabs(Number(pattern)) > 1000) continue;
    x.push_back(pattern);
    y.push_back(Pattern(Value(Number(pattern))));
  }

  const Bits got = Harness(subject(), dtype()).Reconstruct(y, SideOf(x));

  for (size_t i = 0; i < y.size(); ++i) {
    const double stored = Number(y[i]), told = Number(got[i]);
    const bool left = Number(x[i]) < x0();
    const bool any = marks()
                         ? left && Value(x0()) < 0 &&
                               stored > (flat() ? -0.0 : 2e-6 * Value(x0()))
                         : std::fabs(stored) < 1e-37 || (flat() && stored == 1);
    if (any || SlopeOf(Number(x[i])) == 0) {
      ASSERT_LE(std::fabs(SlopeOf(told)), 1e-5) << "y = " << stored;
      ASSERT_NEAR(Value(told), stored, 1e-6) << "y = " << stored;
      continue;
    }
    const double truth =
        invact_reference_inverse(function(), stored, left ? 1 : 0);
    const double step =
        std::ldexp(std::fabs(truth), -kFormats[dtype()].mantissa);
    // At the minimum the root turns float32's 1e-8 into 1e-4.
    const double at_minimum =
        marks() ? 3e-8 / std::max(1e-9, std::fabs(truth - x0())) : 0;
    ASSERT_NEAR(told, truth, 2 * step + 4e-6 + std::min(3e-4, at_minimum))
        << "y = " << stored;
  }
}

TEST_P(KernelTest, BadArgumentsAreRefused) {
  const invact_activation& a = *subject().activation;
  const double* scalars = subject().scalars.data();
  const invact_call call = {sizeof(call), dtype(), nullptr, scalars, 0};
  const invact_call unknown = {sizeof(call), 7, nullptr, scalars, 0};
  uint64_t memory[4] = {};
  EXPECT_NE(a.forward(nullptr, memory, memory, memory, 1), 0);
  EXPECT_NE(a.forward(&call, memory, memory, memory, -1), 0);
  EXPECT_NE(a.forward(&call, nullptr, memory, memory, 1), 0);
  EXPECT_NE(a.forward(&unknown, memory, memory, memory, 1), 0);
  EXPECT_NE(a.reconstruct(&call, memory, memory, nullptr, 1), 0);
  EXPECT_EQ(a.forward(&call, nullptr, nullptr, nullptr, 0), 0);
  if (marks()) {
    EXPECT_NE(a.backward(&call, memory, nullptr, memory, memory, 1), 0);
    EXPECT_NE(a.mark(&call, memory, nullptr, nullptr, 1), 0);
  } else {
    EXPECT_EQ(a.backward(&call, memory, nullptr, memory, memory, 1), 0);
  }
  if (a.parameters > 0) {
    const invact_call none = {sizeof(call), dtype(), nullptr, nullptr, 0};
    EXPECT_NE(a.backward(&none, memory, memory, memory, memory, 1), 0);
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(KernelTest);

std::string Name(const testing::TestParamInfo<std::tuple<size_t, int>>& info) {
  static const char* const kDtypes[] = {"f32", "bf16", "f16"};
  return Subjects()[std::get<0>(info.param)].name + "_" +
         kDtypes[std::get<1>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(
    All, KernelTest,
    testing::Combine(testing::Range<size_t>(0, Subjects().size()),
                     testing::Range(0, int{INVACT_DTYPES})),
    Name);

}  // namespace
}  // namespace invact::kernels
