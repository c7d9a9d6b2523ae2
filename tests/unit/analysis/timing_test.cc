#include "daemon/analysis/timing.h"

#include <gtest/gtest.h>

namespace invact {
namespace {

constexpr int64_t kMillisecond = 1'000'000;

v1::StepTotals Step(int64_t forward_ms, int64_t backward_ms) {
  v1::StepTotals step;
  step.set_complete(true);
  step.set_begin_ns(5 * kMillisecond);
  step.set_backward_begin_ns(step.begin_ns() + forward_ms * kMillisecond);
  step.set_end_ns(step.backward_begin_ns() + backward_ms * kMillisecond);
  return step;
}

TEST(Median, IsTheMiddleOrTheMeanOfTwo) {
  EXPECT_EQ(Median({}), std::nullopt);
  EXPECT_EQ(Median({3}), 3);
  EXPECT_EQ(Median({9, 1, 5}), 5);
  EXPECT_EQ(Median({4, 1, 9, 2}), 3);
}

TEST(MedianTimes, AreOfTheCompleteStepsByTheHost) {
  v1::StepTotals torn = Step(1, 1);
  torn.set_complete(false);

  const v1::Timing timing =
      MedianTimes({Step(900, 900), Step(10, 20), torn, Step(12, 22)});

  EXPECT_DOUBLE_EQ(timing.forward_seconds_median(), 0.012);
  EXPECT_DOUBLE_EQ(timing.backward_seconds_median(), 0.022);
  EXPECT_DOUBLE_EQ(timing.step_seconds_median(), 0.034);
  EXPECT_EQ(timing.clock(), "host");
  EXPECT_EQ(timing.steps(), 3);
}

TEST(MedianTimes, TheDevicesClockCountsWhereItIsKnown) {
  v1::StepTotals known = Step(1, 1);
  known.set_device_forward_seconds(0.1);
  known.set_device_backward_seconds(0.2);
  known.set_device_step_seconds(0.3);

  const v1::Timing timing = MedianTimes({Step(1, 1), known, Step(1, 1)});

  EXPECT_DOUBLE_EQ(timing.step_seconds_median(), 0.3);
  EXPECT_DOUBLE_EQ(timing.forward_seconds_median(), 0.1);
  EXPECT_DOUBLE_EQ(timing.backward_seconds_median(), 0.2);
  EXPECT_EQ(timing.clock(), "device");
  EXPECT_EQ(timing.steps(), 1);
}

TEST(MedianTimes, NothingIsGuessedWithoutACompleteStep) {
  v1::StepTotals torn = Step(1, 1);
  torn.set_complete(false);

  const v1::Timing timing = MedianTimes({torn});

  EXPECT_FALSE(timing.has_step_seconds_median());
  EXPECT_FALSE(timing.has_forward_seconds_median());
  EXPECT_EQ(timing.clock(), "");
}

}  // namespace
}  // namespace invact
