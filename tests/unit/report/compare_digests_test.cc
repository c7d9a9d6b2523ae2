// Equal is said only where all that both runs told agrees and nothing is
// missing; a difference that was seen is one, whatever else was not.
#include "daemon/report/compare_digests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "daemon/report/build_comparison.h"
#include "daemon/report/compare_formats.h"
#include "daemon/report/compare_text.h"

namespace invact {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

// Three steps of two parameters and one loss, each number its own.
RunDigests Told() {
  RunDigests run;
  for (uint32_t id : {0, 1}) {
    v1::Parameter& parameter = run.stored.parameters.emplace_back();
    parameter.set_id(id);
    parameter.set_name(id == 0 ? "a.weight" : "a.bias");
    parameter.set_type("float32[4]");
  }
  for (int64_t step = 0; step < 3; ++step) {
    run.stored.steps.push_back(step);
    v1::StepDigests& digests = run.stored.digests.emplace_back();
    digests.set_step(step);
    digests.set_total(3);
    for (uint32_t id : {0, 1}) {
      digests.add_parameters(id);
      digests.add_gradients(100 * step + id);
    }
    digests.add_roots(0);
    digests.add_losses(2.5 - 0.5 * static_cast<double>(step));
  }
  return run;
}

DigestAgreement With(const RunDigests& ours) {
  return CompareDigests({ours}, {Told()});
}

TEST(CompareDigests, TheSameNumbersAreEqual) {
  const DigestAgreement found = With(Told());
  EXPECT_EQ(found.losses.verdict, Verdict::kEqual);
  EXPECT_EQ(found.gradients.verdict, Verdict::kEqual);
}

TEST(CompareDigests, NumbersAndOrderOfParametersDoNotMatter) {
  RunDigests ours = Told();
  ours.stored.parameters[0].set_id(1);
  ours.stored.parameters[1].set_id(0);
  for (v1::StepDigests& step : ours.stored.digests) {
    step.set_parameters(0, 1);
    step.set_parameters(1, 0);
  }
  EXPECT_EQ(With(ours).gradients.verdict, Verdict::kEqual);
}

TEST(CompareDigests, OneBitOfOneGradientIsADifference) {
  RunDigests ours = Told();
  ours.stored.digests[1].set_gradients(1, 100);
  ours.stored.digests[2].set_gradients(0, 7);
  const Agreement found = With(ours).gradients;
  EXPECT_EQ(found.verdict, Verdict::kDiffer);
  EXPECT_EQ(found.first_step, 1);
  EXPECT_THAT(found.names, ElementsAre("a.bias"));
  EXPECT_EQ(With(ours).losses.verdict, Verdict::kEqual);
}

TEST(CompareDigests, LossesAreComparedByTheirBits) {
  RunDigests ours = Told(), other = Told();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  ours.stored.digests[1].set_losses(0, nan);
  other.stored.digests[1].set_losses(0, nan);
  EXPECT_EQ(CompareDigests({ours}, {other}).losses.verdict, Verdict::kEqual);
  ours.stored.digests[1].set_losses(0, 0.0);
  other.stored.digests[1].set_losses(0, -0.0);
  const Agreement found = CompareDigests({ours}, {other}).losses;
  EXPECT_EQ(found.verdict, Verdict::kDiffer);
  EXPECT_EQ(found.first_step, 1);
  EXPECT_EQ(found.why, "0 against -0");
}

TEST(CompareDigests, AParameterThatOneHasAloneIsADifference) {
  for (const bool ours_has_less : {true, false}) {
    RunDigests less = Told();
    v1::StepDigests& step = less.stored.digests[2];
    step.mutable_parameters()->RemoveLast();
    step.mutable_gradients()->RemoveLast();
    step.set_total(2);
    const Agreement found = ours_has_less
                                ? CompareDigests({less}, {Told()}).gradients
                                : CompareDigests({Told()}, {less}).gradients;
    EXPECT_EQ(found.verdict, Verdict::kDiffer);
    EXPECT_EQ(found.first_step, 2);
    EXPECT_THAT(found.names, ElementsAre("a.bias"));
  }
}

TEST(CompareDigests, AnotherShapeIsAnotherParameter) {
  RunDigests ours = Told();
  ours.stored.parameters[0].set_type("float32[2, 2]");
  EXPECT_EQ(With(ours).gradients.verdict, Verdict::kDiffer);
}

TEST(CompareDigests, AnotherNumberOfStepsIsADifference) {
  RunDigests ours = Told();
  ours.stored.steps.pop_back();
  ours.stored.digests.pop_back();
  const Agreement found = With(ours).gradients;
  EXPECT_EQ(found.verdict, Verdict::kDiffer);
  EXPECT_EQ(found.first_step, 2);
}

TEST(CompareDigests, WhatGotLostIsUnseen) {
  // All of a step, a part of it, and its end.
  for (const int loss : {0, 1, 2}) {
    RunDigests ours = Told();
    v1::StepDigests& step = ours.stored.digests[1];
    if (loss == 0) {
      ours.stored.digests.erase(ours.stored.digests.begin() + 1);
    } else if (loss == 1) {
      step.mutable_parameters()->RemoveLast();
      step.mutable_gradients()->RemoveLast();
    } else {
      step.clear_total();
    }
    const DigestAgreement found = With(ours);
    EXPECT_EQ(found.gradients.verdict, Verdict::kUnseen) << loss;
    EXPECT_EQ(found.losses.verdict, Verdict::kUnseen) << loss;
    EXPECT_THAT(found.gradients.why, HasSubstr("step 1 got lost"));
  }
}

TEST(CompareDigests, WhatWasNotSeenHidesNoDifference) {
  RunDigests ours = Told();
  v1::StepDigests& step = ours.stored.digests[0];
  step.mutable_parameters()->RemoveLast();
  step.mutable_gradients()->RemoveLast();
  v1::UnseenDigest* unseen = step.add_unseen();
  unseen->set_id(1);
  unseen->set_reason("SPARSE");
  Agreement found = With(ours).gradients;
  EXPECT_EQ(found.verdict, Verdict::kUnseen);
  EXPECT_THAT(found.why, HasSubstr("a.bias in step 0: its gradient is sparse"));

  ours.stored.digests[2].set_gradients(0, 7);
  found = With(ours).gradients;
  EXPECT_EQ(found.verdict, Verdict::kDiffer);
  EXPECT_EQ(found.first_step, 2);
}

TEST(CompareDigests, AStepInSeveralMessagesIsOne) {
  RunDigests ours = Told();
  v1::StepDigests rest = ours.stored.digests[1];
  ours.stored.digests[1].mutable_parameters()->RemoveLast();
  ours.stored.digests[1].mutable_gradients()->RemoveLast();
  ours.stored.digests[1].clear_total();
  ours.stored.digests[1].clear_roots();
  ours.stored.digests[1].clear_losses();
  rest.mutable_parameters()->erase(rest.mutable_parameters()->begin());
  rest.mutable_gradients()->erase(rest.mutable_gradients()->begin());
  ours.stored.digests.insert(ours.stored.digests.begin() + 2, rest);
  EXPECT_EQ(With(ours).gradients.verdict, Verdict::kEqual);
  EXPECT_EQ(With(ours).losses.verdict, Verdict::kEqual);
}

TEST(CompareDigests, NothingToldIsNotEqual) {
  RunDigests silent;
  silent.stored.steps = {0, 1, 2};
  EXPECT_EQ(CompareDigests({silent}, {silent}).gradients.verdict,
            Verdict::kUnseen);
  // Steps without a parameter or a loss.
  for (int64_t step = 0; step < 3; ++step) {
    v1::StepDigests& digests = silent.stored.digests.emplace_back();
    digests.set_step(step);
    digests.set_total(0);
  }
  const DigestAgreement found = CompareDigests({silent}, {silent});
  EXPECT_EQ(found.gradients.why, "no gradient was accumulated");
  EXPECT_EQ(found.losses.why, "no backward had a scalar at its root");
}

TEST(CompareDigests, WhatWasCutOffIsNotEqual) {
  RunDigests ours = Told();
  ours.stored.cut = true;
  EXPECT_EQ(With(ours).gradients.verdict, Verdict::kUnseen);
}

TEST(CompareDigests, EachRankIsComparedWithItself) {
  RunDigests second = Told();
  second.rank = 1;
  second.stored.digests[0].set_gradients(0, 7);
  EXPECT_EQ(
      CompareDigests({Told(), second}, {second, Told()}).gradients.verdict,
      Verdict::kEqual);
  const Agreement alone = CompareDigests({Told(), second}, {Told()}).gradients;
  EXPECT_EQ(alone.verdict, Verdict::kUnseen);
  EXPECT_THAT(alone.why, HasSubstr("rank 1"));
}

RoundFacts Ran(int round, const std::string& policy, RunDigests digests) {
  RoundFacts facts;
  facts.asked.set_round(round);
  facts.asked.set_exit_code(0);
  facts.run.emplace().set_state("finished");
  v1::Report& report = facts.report.emplace();
  report.mutable_run()->set_id(policy);
  report.mutable_run()->set_policy(policy);
  report.mutable_step()->set_complete(true);
  report.mutable_saved()->set_baseline_bytes(100);
  facts.digests.push_back(std::move(digests));
  return facts;
}

TEST(Comparison, TellsWhichStepAndWhichParametersDiffer) {
  RunDigests other = Told();
  other.stored.digests[1].set_gradients(0, 7);
  other.stored.digests[2].set_losses(0, 0.25);
  const v1::Comparison built = BuildComparison(
      2, {{"observe", {Ran(1, "observe", Told()), Ran(2, "observe", Told())}},
          {"invert", {Ran(1, "invert", Told()), Ran(2, "invert", other)}}});
  const v1::ComparedPolicy& observe = built.policies(0);
  EXPECT_TRUE(observe.loss_equal());
  EXPECT_EQ(observe.gradients(), "equal");
  const v1::ComparedPolicy& invert = built.policies(1);
  EXPECT_TRUE(invert.has_loss_equal());
  EXPECT_FALSE(invert.loss_equal());
  EXPECT_EQ(invert.loss_first_step(), 2);
  EXPECT_EQ(invert.gradients(), "differ");
  EXPECT_EQ(invert.gradients_first_step(), 1);
  EXPECT_THAT(invert.gradients_differing(), ElementsAre("a.weight"));
  EXPECT_THAT(invert.notes(),
              Contains("gradients first differ in step 1: 1 parameter "
                       "(a.weight)"));
  EXPECT_THAT(invert.notes(),
              Contains("losses first differ in step 2: 0.25 against 1.5"));
  EXPECT_THAT(ComparisonToJson(built),
              HasSubstr("\"gradients_first_step\": 1"));
  EXPECT_THAT(ComparisonToCsv(built), HasSubstr(",false,differ,2,1\n"));
  EXPECT_THAT(ComparisonToMarkdown(built),
              HasSubstr("| differ | differ | ok |"));
}

TEST(Comparison, AJobThatDoesNotRepeatItselfIsSaid) {
  RunDigests other = Told();
  other.stored.digests[0].set_gradients(0, 7);
  const v1::Comparison built = BuildComparison(
      2, {{"observe", {Ran(1, "observe", Told()), Ran(2, "observe", other)}}});
  EXPECT_EQ(built.policies(0).gradients(), "differ");
  EXPECT_THAT(built.policies(0).notes(),
              Contains(HasSubstr("the job does not repeat itself")));
}

TEST(Comparison, APolicyThatFailedInARoundIsNotCalledEqual) {
  RoundFacts failed = Ran(2, "invert", Told());
  failed.asked.set_exit_code(1);
  const v1::Comparison built = BuildComparison(
      2, {{"observe", {Ran(1, "observe", Told()), Ran(2, "observe", Told())}},
          {"invert", {Ran(1, "invert", Told()), failed}}});
  EXPECT_EQ(built.policies(1).gradients(), "unseen");
  EXPECT_FALSE(built.policies(1).has_loss_equal());
  EXPECT_EQ(built.policies(1).gradients_unseen(), "not all rounds ended well");
}

}  // namespace
}  // namespace invact
