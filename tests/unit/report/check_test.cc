#include "daemon/report/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/report/run_builder.h"

namespace invact {
namespace {

using testing::HasSubstr;

// 100 MiB baseline, 80 MiB held, a peak of 500 MiB.
v1::Report Report() {
  v1::Report report;
  *report.mutable_run() = RunBuilder().run();
  report.mutable_step()->set_complete(true);
  report.mutable_saved()->set_baseline_bytes(100 * kMiB);
  report.mutable_saved()->set_held_bytes(80 * kMiB);
  report.mutable_saved()->set_eliminated_bytes(20 * kMiB);
  report.mutable_saved()->set_eliminated_fraction(0.2);
  report.mutable_peak()->set_allocated_bytes(500 * kMiB);
  return report;
}

CheckVerdict Only(const std::vector<CheckVerdict>& verdicts) {
  EXPECT_EQ(verdicts.size(), 1u);
  return verdicts.empty() ? CheckVerdict() : verdicts[0];
}

TEST(Check, MaxSavedIsOfTheHeldBytesToTheByte) {
  CheckLimits limits;
  limits.max_saved = 80 * kMiB;
  EXPECT_TRUE(Only(CheckReport(Report(), limits)).passed);

  limits.max_saved = 80 * kMiB - 1;
  const CheckVerdict verdict = Only(CheckReport(Report(), limits));

  EXPECT_FALSE(verdict.passed);
  EXPECT_THAT(verdict.detail, HasSubstr("80 MiB (83886080 B, measured)"));
  EXPECT_THAT(verdict.detail, HasSubstr("at most 80.0 MiB (83886079 B)"));
}

TEST(Check, MaxPeakFailsWhereThePeakIsNotKnown) {
  CheckLimits limits;
  limits.max_peak = 501 * kMiB;
  EXPECT_TRUE(Only(CheckReport(Report(), limits)).passed);
  v1::Report report = Report();
  report.mutable_peak()->clear_allocated_bytes();

  const CheckVerdict verdict = Only(CheckReport(report, limits));

  EXPECT_FALSE(verdict.passed);
  EXPECT_FALSE(verdict.measured);
  EXPECT_THAT(verdict.detail, HasSubstr("not known"));
}

TEST(Check, MinEliminatedIsAPercentage) {
  CheckLimits limits;
  limits.min_eliminated_pct = 20;
  EXPECT_TRUE(Only(CheckReport(Report(), limits)).passed);
  limits.min_eliminated_pct = 20.1;
  EXPECT_FALSE(Only(CheckReport(Report(), limits)).passed);

  v1::Report nothing = Report();
  nothing.mutable_saved()->clear_eliminated_fraction();
  EXPECT_FALSE(Only(CheckReport(nothing, limits)).passed);
}

TEST(Check, BaselineAllowsItsTolerance) {
  v1::Report baseline = Report();
  baseline.mutable_saved()->set_held_bytes(78 * kMiB);
  CheckLimits limits;
  limits.baseline = &baseline;
  limits.tolerance_pct = 3;

  const auto verdicts = CheckReport(Report(), limits);

  ASSERT_EQ(verdicts.size(), 2u);
  EXPECT_TRUE(AllPassed(verdicts)) << CheckToText(verdicts, TextStyle());
  limits.tolerance_pct = 2;
  EXPECT_FALSE(AllPassed(CheckReport(Report(), limits)));
}

TEST(Check, APeakThatOnlyTheBaselineKnowsFails) {
  const v1::Report baseline = Report();
  v1::Report report = Report();
  report.mutable_peak()->clear_allocated_bytes();
  CheckLimits limits;
  limits.baseline = &baseline;

  const auto verdicts = CheckReport(report, limits);

  ASSERT_EQ(verdicts.size(), 2u);
  EXPECT_TRUE(verdicts[0].passed);
  EXPECT_FALSE(verdicts[1].passed);
}

TEST(Check, AllLimitsMustHoldAndEachIsPrinted) {
  CheckLimits limits;
  limits.max_saved = kGiB;
  limits.min_eliminated_pct = 50;

  const auto verdicts = CheckReport(Report(), limits);

  EXPECT_FALSE(AllPassed(verdicts));
  EXPECT_EQ(CheckToText(verdicts, TextStyle()),
            "ok    max-saved: saved 80 MiB (83886080 B, measured), at most 1 "
            "GiB (1073741824 B)\n"
            "FAIL  min-eliminated: eliminated 20 % (20971520 of 104857600 B, "
            "measured), at least 50 %\n");
  const auto json = nlohmann::json::parse(CheckToJson(Report(), verdicts));
  EXPECT_EQ(json["schema"], "invact.check/v1");
  EXPECT_EQ(json["passed"], false);
  EXPECT_EQ(json["checks"][0]["measured"], 80 * kMiB);
  EXPECT_TRUE(json["checks"][0]["measured"].is_number_integer());
  EXPECT_EQ(json["checks"][1]["limit"], 50.0);
}

// A run that broke off early would keep every limit.
TEST(Check, AnUnfinishedStepFails) {
  v1::Report report = Report();
  report.mutable_step()->set_complete(false);
  CheckLimits limits;
  limits.max_saved = kGiB;

  const auto verdicts = CheckReport(report, limits);

  ASSERT_EQ(verdicts.size(), 2u);
  EXPECT_FALSE(verdicts[0].passed);
  EXPECT_TRUE(verdicts[1].passed);
  EXPECT_FALSE(AllPassed(verdicts));
}

TEST(Check, NoLimitsGiveNoVerdicts) {
  EXPECT_TRUE(CheckReport(Report(), CheckLimits()).empty());
}

}  // namespace
}  // namespace invact
