#include "plugin/observe/step_tracker.h"

#include <gtest/gtest.h>

#include <vector>

namespace invact {
namespace {

const void* const kStorage = reinterpret_cast<const void*>(0x4000);

TEST(StepTracker, TotalsAreThoseOfTheInstantNotOfTheEnd) {
  std::vector<SiteRow> rows(kMaxSites);
  Ledger ledger(rows.data());
  StepTracker steps;

  steps.Begin(100);
  StorageEntry* entry =
      ledger.Add(kStorage, 512, Category::kInput, 1, Claim::kBoth);
  EXPECT_EQ(steps.Current(ledger).baseline_bytes, 512);
  steps.BackwardBegins(200, ledger);
  ledger.Remove(entry, 1, Claim::kBoth);
  steps.BackwardEnds(300, true);

  EXPECT_EQ(steps.totals().baseline_bytes, 512);
  EXPECT_EQ(steps.totals().held_bytes, 512);
  EXPECT_EQ(steps.totals().by_category[1], 512);
  EXPECT_EQ(steps.totals().complete, 1u);
  EXPECT_EQ(steps.completed(), 1);
}

TEST(StepTracker, AStepThatAnExceptionEndedIsNotCounted) {
  std::vector<SiteRow> rows(kMaxSites);
  Ledger ledger(rows.data());
  StepTracker steps;

  steps.Begin(1);
  steps.BackwardBegins(2, ledger);
  steps.BackwardEnds(3, false);
  steps.Begin(4);

  EXPECT_EQ(steps.completed(), 0);
  EXPECT_EQ(steps.index(), 1);
  EXPECT_EQ(steps.phase(), Phase::kForward);
}

TEST(StepTracker, WhatIsNotKnownIsNotZero) {
  StepTracker steps;

  steps.Begin(1);

  EXPECT_EQ(steps.totals().allocated_before, kUnknown);
  EXPECT_EQ(steps.totals().peak_allocated, kUnknown);
  EXPECT_LT(steps.totals().device_step_seconds, 0);
}

}  // namespace
}  // namespace invact
