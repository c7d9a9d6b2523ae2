#include "daemon/report/build_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/report/models.h"

namespace invact {
namespace {

using testing::Contains;
using testing::HasSubstr;

v1::Report Build(const StoredRun& run, std::string_view step = "last") {
  const auto choice = ParseStepChoice(step);
  EXPECT_TRUE(choice.ok()) << choice.status();
  const auto report = BuildReport(run, *choice);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *report : v1::Report();
}

std::vector<std::string> Warnings(const v1::Report& report) {
  return {report.warnings().begin(), report.warnings().end()};
}

// Steps 0 and 2 are small, 1 is the largest, 3 was not completed.
StoredRun FourSteps() {
  RunBuilder small, large;
  small.Keep("a", {"AddBackward0", 100});
  large.Keep("a", {"AddBackward0", 100});
  large.Keep("b", {"AddBackward0", 900});
  small.Complete(0);
  StoredRun run = large.Complete(1).AlsoMax().Take();
  run.steps.insert(run.steps.begin(), small.stored().steps[0]);
  small.Complete(2);
  run.steps.push_back(small.stored().steps[1]);
  run.last_step = small.stored().last_step;
  small.Live(3, "forward");
  run.live = small.stored().live;
  run.run.set_steps(3);
  return run;
}

TEST(BuildReport, LastIsTheLastCompleteStep) {
  const v1::Report report = Build(FourSteps());

  EXPECT_EQ(report.step().index(), 2);
  EXPECT_TRUE(report.step().complete());
  EXPECT_EQ(report.saved().baseline_bytes(), 100);
  EXPECT_EQ(report.max().step_index(), 1);
  EXPECT_EQ(report.max().baseline_bytes(), 1000);
}

TEST(BuildReport, MaxIsTheStepWithTheLargestBaseline) {
  const v1::Report report = Build(FourSteps(), "max");

  EXPECT_EQ(report.step().index(), 1);
  EXPECT_EQ(report.layers_size(), 2);
  EXPECT_EQ(report.saved().baseline_bytes(), 1000);
}

TEST(BuildReport, AStepWithoutRowsHasTotalsAndSaysSo) {
  const v1::Report report = Build(FourSteps(), "0");

  EXPECT_EQ(report.saved().baseline_bytes(), 100);
  EXPECT_EQ(report.layers_size(), 0);
  EXPECT_TRUE(report.saved().by_action().empty());
  EXPECT_THAT(Warnings(report), Contains(HasSubstr("of step 0 there are")));
}

TEST(BuildReport, AnUnfinishedStepCanBeAskedFor) {
  const v1::Report report = Build(FourSteps(), "3");

  EXPECT_FALSE(report.step().complete());
  EXPECT_EQ(report.step().phase(), "forward");
  EXPECT_THAT(Warnings(report),
              Contains(HasSubstr("step 3 was not completed")));
}

TEST(BuildReport, ARunThatCrashedInALaterStepSaysWhere) {
  StoredRun run = FourSteps();
  run.run.set_state("crashed");

  EXPECT_THAT(Warnings(Build(run)),
              Contains(HasSubstr("step 3 was not completed (forward)")));
}

TEST(BuildReport, AStepThatIsNotStoredNamesThoseThatAre) {
  const auto report =
      BuildReport(FourSteps(), StepChoice{StepChoice::Kind::kIndex, 17});

  EXPECT_EQ(report.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("0 to 2"));
}

TEST(BuildReport, ARunWithoutAnyStepIsNoReport) {
  StoredRun run = RunBuilder().Take();

  const auto report = BuildReport(run, StepChoice{});

  EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(report.status().message()), HasSubstr(run.run.id()));
}

TEST(BuildReport, WhereNoStepWasCompletedTheOneUnderWayIsShown) {
  RunBuilder builder;
  builder.Keep("a", {"", 64});  // never unpacked: its op is not known
  builder.Live(0, "forward");

  const v1::Report report = Build(builder.Take());

  EXPECT_FALSE(report.step().complete());
  EXPECT_EQ(report.saved().baseline_bytes(), 64);
  EXPECT_EQ(report.layers(0).op(), "");
  EXPECT_FALSE(report.max().has_step_index());
  EXPECT_FALSE(report.timing().has_step_seconds_median());
  EXPECT_FALSE(report.reconciliation().has_ledger_bytes());
}

// A process that was killed between a row and its total.
TEST(BuildReport, RowsOfAStepUnderWayOutweighItsTotals) {
  RunBuilder builder;
  builder.Keep("a", {"AddBackward0", 64});
  builder.Keep("b", {"AddBackward0", 32, "int64", "input"});
  builder.Live(0, "forward");
  StoredRun run = builder.Take();
  run.live->mutable_totals()->set_baseline_bytes(64);
  run.live->mutable_totals()->set_held_bytes(64);
  run.live->mutable_totals()->set_input_bytes(0);

  const v1::Report report = Build(run);

  EXPECT_EQ(report.saved().baseline_bytes(), 96);
  EXPECT_EQ(report.saved().by_category().at("activation"), 64);
  EXPECT_EQ(report.saved().by_category().at("input"), 32);
  EXPECT_EQ(report.layers_size(), 2);
}

TEST(BuildReport, WhatRowsOfACompleteStepMissIsARowOfItsOwn) {
  RunBuilder builder;
  builder.Keep("a", {"AddBackward0", 64});
  StoredRun run = builder.Complete(0).Take();
  run.last_step->mutable_totals()->set_baseline_bytes(100);
  run.last_step->mutable_totals()->set_held_bytes(90);

  const v1::Report report = Build(run);

  ASSERT_EQ(report.layers_size(), 2);
  EXPECT_EQ(report.layers(1).name(), "(unattributed)");
  EXPECT_EQ(report.layers(1).baseline_bytes(), 36);
  EXPECT_EQ(report.layers(1).held_bytes(), 26);
  EXPECT_EQ(report.saved().eliminated_bytes(), 10);
  EXPECT_THAT(Warnings(report), Contains(HasSubstr("differ by 36 bytes")));
}

TEST(BuildReport, OrdinalIsThePlaceInsideOneModuleCall) {
  RunBuilder builder;
  builder.Keep("a", {"MulBackward0", 1});
  builder.Keep("b", {"MulBackward0", 2});
  builder.Keep("a", {"AddBackward0", 3});
  builder.Keep("a", {"MulBackward0", 4});

  const v1::Report report = Build(builder.Complete(0).Take());

  const auto ordinal = [&](int i) { return report.layers(i).ordinal(); };
  EXPECT_EQ(ordinal(0), 0);
  EXPECT_EQ(ordinal(1), 0);
  EXPECT_EQ(ordinal(2), 1);
  EXPECT_EQ(ordinal(3), 2);
}

TEST(BuildReport, DeclinesAreGroupedLargestFirstWithTheirHints) {
  RunBuilder builder;
  builder.Decline("a", {"GeluBackward0", 10}, "DTYPE_UNSUPPORTED");
  builder.Decline("b", {"GeluBackward0", 30}, "OUTPUT_NOT_SAVED");
  builder.Decline("c", {"GeluBackward0", 15}, "DTYPE_UNSUPPORTED");
  builder.Decline("d", {"GeluBackward0", 1}, "FROM_THE_FUTURE");

  const v1::Report report = Build(builder.Complete(0).Take());

  ASSERT_EQ(report.declines_size(), 3);
  EXPECT_EQ(report.declines(0).reason(), "OUTPUT_NOT_SAVED");
  EXPECT_EQ(report.declines(0).bytes(), 30);
  EXPECT_EQ(report.declines(1).reason(), "DTYPE_UNSUPPORTED");
  EXPECT_EQ(report.declines(1).sites(), 2);
  EXPECT_EQ(report.declines(1).bytes(), 25);
  EXPECT_THAT(report.declines(1).hint(), HasSubstr("float16"));
  EXPECT_THAT(report.declines(2).hint(), HasSubstr("does not know"));
  EXPECT_THAT(Warnings(report),
              Contains(HasSubstr("does not know reason FROM_THE_FUTURE (")));
}

TEST(BuildReport, UnexplainedIsWhatTheLedgerDoesNotHold) {
  RunBuilder builder;
  builder.Keep("a", {"AddBackward0", 600});
  builder.totals().set_allocated_before_bytes(1000);
  builder.totals().set_allocated_instant_bytes(1700);

  const v1::Reconciliation sums =
      Build(builder.Complete(0).Take()).reconciliation();

  EXPECT_EQ(sums.allocator_delta_bytes(), 700);
  EXPECT_EQ(sums.ledger_bytes(), 600);
  EXPECT_EQ(sums.unexplained_bytes(), 100);
}

TEST(BuildReport, LossesAreWarnedOfAndTotalsStand) {
  RunBuilder builder;
  builder.Keep("a", {"AddBackward0", 600});
  StoredRun run = builder.Complete(0).Take();
  run.losses.set_events_dropped(7);
  run.warnings.push_back("said in the job");

  const v1::Report report = Build(run);

  EXPECT_EQ(report.losses().events_dropped(), 7);
  EXPECT_EQ(report.warnings(0), "said in the job");
  EXPECT_THAT(Warnings(report), Contains(HasSubstr("7 events were dropped")));
}

}  // namespace
}  // namespace invact
