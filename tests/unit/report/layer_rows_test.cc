#include "daemon/report/layer_rows.h"

#include <gtest/gtest.h>

#include "daemon/report/build_report.h"
#include "tests/unit/report/models.h"

namespace invact {
namespace {

v1::Report ReportOf(RunBuilder builder) {
  return *BuildReport(builder.Complete(0).Take(), StepChoice{});
}

struct Sums {
  int64_t rows = 0, baseline = 0, held = 0, sites = 0;
};
Sums SumsOf(const FoldedLayers& folded) {
  Sums sums;
  for (const LayerGroup& group : folded.groups) {
    int64_t baseline = 0, held = 0;
    for (const LayerRow& row : group.rows) {
      ++sums.rows;
      sums.sites += row.sites;
      baseline += row.baseline_bytes;
      held += row.held_bytes;
    }
    EXPECT_EQ(group.baseline_bytes, baseline) << group.name;
    EXPECT_EQ(group.held_bytes, held) << group.name;
    sums.baseline += baseline;
    sums.held += held;
  }
  sums.baseline += folded.small_baseline_bytes;
  sums.held += folded.small_held_bytes;
  return sums;
}

TEST(FoldLayers, A126LayerModelFitsAScreenAndAddsUp) {
  const v1::Report report = ReportOf(LlamaRun(126, true));

  const FoldedLayers folded = FoldLayers(report);

  const Sums sums = SumsOf(folded);
  EXPECT_LE(sums.rows, 24);
  EXPECT_EQ(sums.baseline, report.saved().baseline_bytes());
  EXPECT_EQ(sums.held, report.saved().held_bytes());
  EXPECT_EQ(sums.sites + folded.silent_sites, report.layers_size());
  ASSERT_EQ(folded.groups.size(), 4u);
  EXPECT_EQ(folded.groups[1].name, "model.layers.*");
  EXPECT_EQ(folded.groups[1].blocks, 126);
}

TEST(FoldLayers, AFewLayersStayApart) {
  RunBuilder builder;
  builder.Keep("0", {"AddmmBackward0", 8});
  builder.Keep("1", {"GeluBackward0", 8});
  builder.Keep("2", {"AddmmBackward0", 8});

  const FoldedLayers folded = FoldLayers(ReportOf(std::move(builder)));

  ASSERT_EQ(folded.groups.size(), 3u);
  EXPECT_EQ(folded.groups[2].rows[0].name, "2");
}

TEST(FoldLayers, TheSmallestOfTooManyRowsAreAddedUp) {
  RunBuilder builder;
  for (int i = 0; i < 100; ++i) {
    builder.Keep("m" + std::to_string(i) + "x", {"AddBackward0", 100 + i % 7});
  }
  const v1::Report report = ReportOf(std::move(builder));

  const FoldedLayers folded = FoldLayers(report, 24, 40);

  const Sums sums = SumsOf(folded);
  EXPECT_EQ(sums.rows, 40);
  EXPECT_EQ(folded.small_rows, 60);
  EXPECT_EQ(sums.baseline, report.saved().baseline_bytes());
  for (const LayerGroup& group : folded.groups) {
    EXPECT_GE(group.rows[0].baseline_bytes,
              folded.small_baseline_bytes / folded.small_rows);
  }
}

TEST(FoldLayers, WhatIsDeclinedInSomeBlocksIsARowOfItsOwn) {
  RunBuilder builder;
  for (int i = 0; i < 30; ++i) {
    const std::string name = "h." + std::to_string(i) + ".act";
    if (i == 29) {
      builder.Decline(name, {"GeluBackward0", 16}, "WRITTEN_IN_PLACE");
    } else {
      builder.Invert(name, {"GeluBackward0", 16});
    }
  }

  const FoldedLayers folded = FoldLayers(ReportOf(std::move(builder)));

  ASSERT_EQ(folded.groups.size(), 1u);
  EXPECT_EQ(folded.groups[0].blocks, 30);
  ASSERT_EQ(folded.groups[0].rows.size(), 2u);
  EXPECT_EQ(folded.groups[0].rows[0].layers, 29);
  EXPECT_EQ(folded.groups[0].rows[1].declined, "WRITTEN_IN_PLACE");
}

TEST(BlockPattern, ReplacesNumbersOnly) {
  EXPECT_EQ(BlockPattern("down.0.block.11.conv1"), "down.*.block.*.conv1");
  EXPECT_EQ(BlockPattern("layer1.conv2"), "layer1.conv2");
  EXPECT_EQ(BlockPattern("3"), "*");
  EXPECT_EQ(BlockPattern(""), "");
}

}  // namespace
}  // namespace invact
