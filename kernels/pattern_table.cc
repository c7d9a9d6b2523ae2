#include "kernels/pattern_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace invact::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kSteady = 0x1p-11f;  // well below what a bfloat16 y can tell

float ToFloat(int dtype, uint32_t bits) {
  const int mantissa = dtype == INVACT_BF16 ? 7 : 10;
  const int exponent_bits = 15 - mantissa;
  const int exponent = static_cast<int>((bits & 0x7fff) >> mantissa);
  const int fraction = static_cast<int>(bits & ((1u << mantissa) - 1));
  const int bias = (1 << (exponent_bits - 1)) - 1;
  float size;
  if (exponent == (1 << exponent_bits) - 1) {
    size = fraction ? std::numeric_limits<float>::quiet_NaN() : kInfinity;
  } else {
    const int whole = exponent ? fraction + (1 << mantissa) : fraction;
    size = std::ldexp(static_cast<float>(whole),
                      std::max(exponent, 1) - bias - mantissa);
  }
  return bits >> 15 ? -size : size;
}

// One x and what is known of it.
struct Sample {
  float x, slope;
  uint16_t y;
  bool left;

  int Run() const { return (y >> 15) + 2 * left; }
  int Magnitude() const { return y & 0x7fff; }
};

std::vector<Sample> FiniteSamples(const invact_patterns& patterns, int dtype,
                                  float x0) {
  std::vector<Sample> samples;
  for (uint32_t bits = 0; bits < INVACT_PATTERNS; ++bits) {
    const float x = ToFloat(dtype, bits), slope = patterns.slope[bits];
    if (!std::isfinite(x) || !std::isfinite(slope) ||
        std::isnan(ToFloat(dtype, patterns.y[bits]))) {
      continue;
    }
    samples.push_back({x, slope, patterns.y[bits], x < x0});
  }
  return samples;
}

// Of each run the x with the largest |y|, of these the outermost.
void FindTops(const std::vector<Sample>& samples, const Sample* (&tops)[4]) {
  for (const Sample& sample : samples) {
    const Sample*& top = tops[sample.Run()];
    if (top == nullptr || sample.Magnitude() > top->Magnitude() ||
        (sample.Magnitude() == top->Magnitude() &&
         std::fabs(sample.x) > std::fabs(top->x))) {
      top = &sample;
    }
  }
}

// The last entry of a run is the first from which on f' is steady.
PatternLayout MakeLayout(const std::vector<Sample>& samples, int length) {
  const Sample* tops[4] = {};
  FindTops(samples, tops);
  int steady_from[2] = {};
  for (const Sample& sample : samples) {
    if (std::fabs(sample.slope - tops[sample.Run()]->slope) > kSteady) {
      int& from = steady_from[sample.y >> 15];
      from = std::max(from, sample.Magnitude() + 1);
    }
  }
  return {length,
          {std::max(1, steady_from[0] - length + 1),
           std::max(1, steady_from[1] - length + 1)}};
}

// Fills the NaN of a run from their neighbours; all NaN where all were.
void Interpolate(float* run, int length) {
  int last = -1;
  for (int i = 0; i < length; ++i) {
    if (std::isnan(run[i])) continue;
    for (int gap = last + 1; gap < i; ++gap) {
      run[gap] = last < 0 ? run[i]
                          : run[last] + (run[i] - run[last]) *
                                            static_cast<float>(gap - last) /
                                            static_cast<float>(i - last);
    }
    last = i;
  }
  if (last >= 0) std::fill(run + last + 1, run + length, run[last]);
}

}  // namespace

PatternTable MakePatternTable(const invact_patterns& patterns, int dtype,
                              float x0, int length) {
  const std::vector<Sample> samples = FiniteSamples(patterns, dtype, x0);
  PatternTable table;
  if (samples.empty()) {
    table.layout = {length, {1, 1}};
    table.slopes.assign(table.layout.Entries(), 0.0f);
    return table;
  }
  table.layout = MakeLayout(samples, length);
  const auto index = [&table](const Sample& sample) {
    return table.layout.Index(sample.y, sample.left);
  };

  std::vector<float> low(table.layout.Entries(), kInfinity);
  std::vector<float> high(table.layout.Entries(), -kInfinity);
  for (const Sample& sample : samples) {
    const int at = index(sample);
    low[at] = std::min(low[at], sample.slope);
    high[at] = std::max(high[at], sample.slope);
  }
  for (size_t i = 0; i < low.size(); ++i) {
    table.slopes.push_back(low[i] <= high[i]
                               ? low[i] + (high[i] - low[i]) / 2
                               : std::numeric_limits<float>::quiet_NaN());
  }

  const auto by_x = [](const Sample& a, const Sample& b) { return a.x < b.x; };
  const auto [least, most] =
      std::minmax_element(samples.begin(), samples.end(), by_x);
  for (const auto& outermost : {least, most}) {
    const int within = index(*outermost) % length;
    if (within == 0 || within == length - 1) {
      table.slopes[index(*outermost)] = outermost->slope;
    }
  }

  // A run without any x is that of the other branch: a y above GELU's zero is
  // right of the minimum whatever its bit says.
  for (int run = 0; run < 4; ++run) {
    Interpolate(&table.slopes[run * length], length);
  }
  for (int run = 0; run < 4; ++run) {
    float* const at = &table.slopes[run * length];
    if (!std::isnan(at[0])) continue;
    const float* const other = &table.slopes[(run ^ 2) * length];
    if (std::isnan(other[0])) {
      std::fill(at, at + length, 0.0f);
    } else {
      std::copy(other, other + length, at);
    }
  }
  return table;
}

}  // namespace invact::kernels
