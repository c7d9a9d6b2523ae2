// What a comparison says follows from its rounds: the times are paired round
// by round, a failure is a row, and what is not known is not said.
#include "daemon/report/build_comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "daemon/report/compare_formats.h"
#include "daemon/report/compare_text.h"

namespace invact {
namespace {

using testing::Contains;
using testing::HasSubstr;

RoundFacts Ran(int round, const std::string& policy, double seconds,
               int64_t held = 60, int64_t steps = 5) {
  RoundFacts facts;
  facts.asked.set_round(round);
  facts.asked.set_exit_code(0);
  v1::Report& report = facts.report.emplace();
  v1::Run& run = *report.mutable_run();
  run.set_id(policy + std::to_string(round));
  run.set_name("train.py");
  run.set_policy(policy);
  run.set_state("finished");
  run.set_end_reason("exit");
  run.set_exit_code(0);
  run.set_steps(steps);
  report.mutable_step()->set_complete(true);
  report.mutable_saved()->set_baseline_bytes(100);
  report.mutable_saved()->set_held_bytes(held);
  report.mutable_saved()->set_eliminated_bytes(100 - held);
  report.mutable_saved()->set_eliminated_fraction((100 - held) / 100.0);
  report.mutable_timing()->set_step_seconds_median(seconds);
  report.mutable_timing()->set_clock("host");
  report.mutable_timing()->set_steps(steps);
  facts.run = run;
  return facts;
}

RoundFacts Died(int round, const std::string& policy) {
  RoundFacts facts;
  facts.asked.set_round(round);
  facts.asked.set_signal(9);
  (void)policy;
  return facts;
}

TEST(AddedFraction, IsTheMeanRatioWithStudentsInterval) {
  // exp(mean +- t sd / sqrt(3)) of the logarithms, t(2) = 4.302653, computed
  // by hand.
  const Interval added = AddedFraction({1.1, 1.2, 1.3});
  EXPECT_NEAR(added.middle, std::cbrt(1.1 * 1.2 * 1.3) - 1, 1e-12);
  EXPECT_NEAR(added.low, -0.027178, 1e-4);
  EXPECT_NEAR(added.high, 0.473369, 1e-4);
  EXPECT_TRUE(std::isnan(AddedFraction({1.5}).low));
  EXPECT_DOUBLE_EQ(AddedFraction({1.5}).middle, 0.5);
}

TEST(BuildComparison, PairsTimesRoundByRound) {
  // The machine is three times slower in the second round, for both.
  const v1::Comparison built = BuildComparison(
      2, {{"observe", {Ran(1, "observe", 1), Ran(2, "observe", 3)}},
          {"invert", {Ran(1, "invert", 1.1), Ran(2, "invert", 3.3)}}});
  EXPECT_EQ(built.reference(), "observe");
  EXPECT_EQ(built.name(), "train.py");
  const v1::ComparedPolicy& row = built.policies(1);
  EXPECT_NEAR(row.added_fraction(), 0.1, 1e-12);
  EXPECT_NEAR(row.added_fraction_low(), 0.1, 1e-12);
  EXPECT_NEAR(row.added_fraction_high(), 0.1, 1e-12);
  EXPECT_DOUBLE_EQ(row.timing().step_seconds_median(), 2.2);
  EXPECT_EQ(row.run_id(), "invert2");
  EXPECT_FALSE(built.policies(0).has_added_fraction());
}

TEST(BuildComparison, MeasuresAgainstTheFirstThatEndedWell) {
  const v1::Comparison built =
      BuildComparison(1, {{"observe", {Died(1, "observe")}},
                          {"invert", {Ran(1, "invert", 1)}},
                          {"rebuild", {Ran(1, "rebuild", 2)}}});
  EXPECT_EQ(built.reference(), "invert");
  EXPECT_EQ(built.policies(0).end_reason(), "signal");
  EXPECT_EQ(built.policies(0).signal(), 9);
  EXPECT_FALSE(built.policies(0).has_saved());
  EXPECT_DOUBLE_EQ(built.policies(2).added_fraction(), 1.0);
  EXPECT_FALSE(built.policies(2).has_added_fraction_low());
}

TEST(BuildComparison, AFailureInOneRoundIsTheRowsEnd) {
  const v1::Comparison built = BuildComparison(
      2, {{"observe", {Ran(1, "observe", 1), Ran(2, "observe", 1)}},
          {"invert", {Ran(1, "invert", 1, 40), Died(2, "invert")}}});
  EXPECT_EQ(built.policies(1).end_reason(), "signal");
  EXPECT_EQ(built.policies(1).saved().held_bytes(), 40);
}

TEST(BuildComparison, AnOutOfMemoryOfTheRunWinsOverItsExitCode) {
  RoundFacts facts = Ran(1, "observe", 1);
  facts.asked.set_exit_code(1);
  facts.run->set_end_reason("oom");
  EXPECT_EQ(BuildComparison(1, {{"observe", {facts}}}).policies(0).end_reason(),
            "oom");
  facts.asked.set_timed_out(true);
  EXPECT_EQ(BuildComparison(1, {{"observe", {facts}}}).policies(0).end_reason(),
            "timeout");
}

TEST(BuildComparison, AnotherNumberOfStepsIsSaid) {
  const v1::Comparison built =
      BuildComparison(1, {{"observe", {Ran(1, "observe", 1)}},
                          {"invert", {Ran(1, "invert", 1, 60, 4)}}});
  EXPECT_THAT(built.policies(1).notes(),
              Contains("4 steps where observe made 5"));
}

TEST(BuildComparison, WithoutAnyGoodRunThereIsNoReference) {
  const v1::Comparison built =
      BuildComparison(1, {{"observe", {Died(1, "observe")}}});
  EXPECT_EQ(built.reference(), "");
  EXPECT_THAT(ComparisonToJson(built), HasSubstr("\"reference\": null"));
  EXPECT_THAT(ComparisonToText(built, {}), HasSubstr("signal 9"));
}

TEST(ComparisonFormats, AreWordForWordThese) {
  v1::Comparison built = BuildComparison(
      2, {{"observe", {Ran(1, "observe", 1, 100), Ran(2, "observe", 1, 100)}},
          {"invert", {Ran(1, "invert", 1.5), Ran(2, "invert", 1.5)}},
          {"re|build\x1b", {Died(1, "rebuild")}}});
  built.set_id("0123456789abcdef");
  EXPECT_EQ(ComparisonToCsv(built),
            "policy,run_id,end_reason,exit_code,signal,steps,baseline_bytes,"
            "held_bytes,eliminated_bytes,peak_allocated_bytes,"
            "peak_reserved_bytes,step_seconds_median,added_fraction,"
            "added_fraction_low,added_fraction_high,loss_equal,gradients,"
            "loss_first_step,gradients_first_step\n"
            "observe,observe2,exit,0,,5,100,100,0,,,1.0,,,,,unseen,,\n"
            "invert,invert2,exit,0,,5,100,60,40,,,1.5,0.5,0.5,0.5,,unseen,,\n"
            "re|build\\x1b,,signal,,9,0,,,,,,,,,,,unseen,,\n");
  const std::string text = ComparisonToText(built, {});
  EXPECT_THAT(text, HasSubstr("Comparison 01234567 of train.py, 2 rounds (all "
                              "measured)\n"));
  EXPECT_THAT(text, HasSubstr("re|build\\x1b"));
  EXPECT_THAT(text, HasSubstr("+50 % (+50 % to +50 %)"));
  EXPECT_THAT(
      ComparisonToMarkdown(built),
      HasSubstr("| invert | 100 B | 60 B | -40 % | - | - | 1.50 s | "
                "+50 % \\(+50 % to +50 %\\) | unseen | unseen | ok |\n"));
}

}  // namespace
}  // namespace invact
