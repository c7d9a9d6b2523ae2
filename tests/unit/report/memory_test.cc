// The memory section of a report: what each format says, and that it adds up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/report/build_memory.h"
#include "daemon/report/memory_json.h"
#include "daemon/report/memory_text.h"

namespace invact {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr int64_t kMiB = 1 << 20;

v1::MemoryStep Step(int64_t step, int64_t activation) {
  v1::MemoryStep out;
  out.set_step(step);
  out.set_peak_phase("backward");
  v1::MemoryMoment& peak = *out.mutable_peak();
  (*peak.mutable_by_category())["activation"] = activation;
  (*peak.mutable_by_category())["parameter"] = kMiB;
  peak.set_reserved_bytes(activation + 4 * kMiB);
  out.set_most_reserved_bytes(activation + 5 * kMiB);
  v1::MemoryMoment& end = *out.mutable_end();
  (*end.mutable_by_category())["parameter"] = kMiB;
  end.set_allocated_bytes(kMiB + 512);
  end.set_reserved_bytes(4 * kMiB);
  v1::MemoryHolder& holder = *out.add_holders();
  holder.set_category("activation");
  holder.set_bytes(activation);
  holder.set_layer("model.mlp\n");
  holder.set_op("GeluBackward0");
  return out;
}

v1::Report Report(bool failed = false) {
  StoredMemory memory;
  memory.highest.push_back(Step(3, 10 * kMiB));
  memory.of_step.push_back(Step(5, 8 * kMiB));
  if (failed) {
    v1::MemoryFailure& failure = memory.failures.emplace_back();
    failure.set_step(5);
    failure.set_phase("forward");
    failure.set_asked_bytes(512 * kMiB);
    failure.set_device_free_bytes(12 * kMiB);
    (*failure.mutable_at()->mutable_by_category())["activation"] = 7 * kMiB;
    failure.add_holders()->set_bytes(7 * kMiB);
  }
  v1::StepTotals totals;
  totals.set_index(3);
  totals.set_eliminated_at_peak_bytes(2 * kMiB);
  v1::Report report;
  AddMemory(std::move(memory), {totals}, &report);
  return report;
}

TEST(Memory, SaysThePeakWithAndWithoutWhatWasEliminated) {
  const std::string text = MemoryText(Report(), {});

  EXPECT_THAT(text, HasSubstr("device 0: peak of 11 MiB asked for in backward "
                              "of step 3"));
  EXPECT_THAT(text, HasSubstr("(measured); without what was eliminated"));
  EXPECT_THAT(text, HasSubstr("13 MiB (modelled)"));
  EXPECT_THAT(text, HasSubstr("step 5 end"));
  EXPECT_THAT(text, HasSubstr("model.mlp\\n"));
  EXPECT_THAT(text, Not(HasSubstr("out of memory")));
}

TEST(Memory, SaysWhoHeldWhatRanOut) {
  for (const std::string& text :
       {MemoryText(Report(true), {}), MemoryMarkdown(Report(true))}) {
    EXPECT_THAT(text, HasSubstr("out of memory in forward of step 5, asking "
                                "for 512 MiB with 12 MiB of the device free"));
    EXPECT_THAT(text, HasSubstr("no layer"));
  }
}

TEST(Memory, JsonAddsUpAndTellsUnknownFromZero) {
  const Json device = MemoryFields(Report().memory())["devices"][0];

  EXPECT_EQ(device["highest"]["peak"]["bytes"], 11 * kMiB);
  EXPECT_EQ(device["highest_without_eliminations_bytes"], 13 * kMiB);
  EXPECT_TRUE(device["highest"]["peak"]["rounding_bytes"].is_null());
  EXPECT_TRUE(device["highest"]["begin"].is_null());
  EXPECT_EQ(device["step"]["step_index"], 5);
  EXPECT_EQ(device["step"]["end"]["rounding_bytes"], 512);
  EXPECT_EQ(device["step"]["end"]["unused_bytes"], 3 * kMiB - 512);
  EXPECT_TRUE(device["out_of_memory"].is_null());
  EXPECT_TRUE(MemoryFields({}).is_null());
}

TEST(Memory, SeveralDevicesLeaveEliminationsUntold) {
  StoredMemory memory;
  memory.highest = {Step(3, kMiB), Step(3, kMiB)};
  memory.highest[1].set_device(1);
  v1::StepTotals totals;
  totals.set_index(3);
  totals.set_eliminated_at_peak_bytes(2 * kMiB);
  v1::Report report;
  AddMemory(std::move(memory), {totals}, &report);

  ASSERT_EQ(report.memory().devices_size(), 2);
  for (const v1::MemoryDevice& device : report.memory().devices()) {
    EXPECT_FALSE(device.has_highest_without_eliminations_bytes());
    EXPECT_FALSE(device.has_step());
  }
}

}  // namespace
}  // namespace invact
