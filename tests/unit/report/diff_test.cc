#include "daemon/report/diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "daemon/report/build_report.h"
#include "tests/unit/report/models.h"

namespace invact {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::Report ReportOf(RunBuilder builder, const std::string& id) {
  builder.run().set_id(id);
  builder.run().set_job_id(id);
  return *BuildReport(builder.Complete(0).Take(), StepChoice{});
}

v1::Report Observe() {
  return ReportOf(LlamaRun(4, false), "00aa000000000000");
}
v1::Report Invert() { return ReportOf(LlamaRun(4, true), "00bb000000000000"); }

nlohmann::json Diff(const std::vector<v1::Report>& reports) {
  return nlohmann::json::parse(DiffToJson(reports));
}
nlohmann::json Field(const nlohmann::json& diff, const std::string& path) {
  for (const auto& field : diff["fields"]) {
    if (field["path"] == path) return field["values"];
  }
  return nullptr;
}

TEST(Diff, ListsTheFieldsThatDifferWithOneValueARun) {
  const auto diff = Diff({Observe(), Invert(), Observe()});

  EXPECT_EQ(diff["schema"], "invact.diff/v1");
  ASSERT_EQ(diff["runs"].size(), 3u);
  EXPECT_EQ(diff["runs"][1]["id"], "00bb000000000000");
  EXPECT_EQ(Field(diff, "run.policy"),
            nlohmann::json::parse(R"(["observe", "invert", "observe"])"));
  const auto held = Field(diff, "saved.held_bytes");
  EXPECT_EQ(held[0], Observe().saved().held_bytes());
  EXPECT_EQ(held[1], Invert().saved().held_bytes());
  EXPECT_TRUE(Field(diff, "saved.baseline_bytes").is_null());  // the same
  EXPECT_TRUE(Field(diff, "run.id").is_null());
}

TEST(Diff, LayersThatDifferHaveTheirDeltas) {
  const auto diff = Diff({Observe(), Invert()});

  ASSERT_EQ(diff["layers"].size(), 4u);
  const auto& layer = diff["layers"][2];
  EXPECT_EQ(layer["name"], "model.layers.2.mlp.act_fn");
  EXPECT_EQ(layer["op"], "SiluBackward0");
  const int64_t bytes = 2 * int64_t{4 * 2048} * 14336;
  EXPECT_EQ(layer["baseline_bytes"], nlohmann::json({bytes, bytes}));
  EXPECT_EQ(layer["held_bytes"], nlohmann::json({bytes, bytes / 16}));
  EXPECT_EQ(layer["action"], nlohmann::json({"keep", "invert"}));
  EXPECT_EQ(layer["declined"], nlohmann::json({nullptr, nullptr}));
}

TEST(Diff, ASiteThatOneRunDoesNotHaveIsNull) {
  const auto diff = Diff({ReportOf(LlamaRun(1, false), "00aa000000000000"),
                          ReportOf(LlamaRun(2, false), "00bb000000000000")});

  const auto& layer = diff["layers"][0];
  EXPECT_EQ(layer["name"], "model.layers.1.input_layernorm");
  EXPECT_TRUE(layer["held_bytes"][0].is_null());
  EXPECT_TRUE(layer["held_bytes"][1].is_number_integer());
}

TEST(Diff, AReasonOfOneRunIsAFieldOfAll) {
  RunBuilder plain, declined;
  plain.Keep("act", {"GeluBackward0", 64});
  declined.Decline("act", {"GeluBackward0", 64}, "OUTPUT_NOT_SAVED");

  const auto diff = Diff({ReportOf(std::move(plain), "00aa000000000000"),
                          ReportOf(std::move(declined), "00bb000000000000")});

  EXPECT_EQ(Field(diff, "declines.OUTPUT_NOT_SAVED.bytes"),
            nlohmann::json({nullptr, 64}));
}

TEST(Diff, TextFoldsEqualBlocksAndSaysTheChange) {
  const std::string text = DiffToText({Observe(), Invert()}, TextStyle());

  EXPECT_THAT(text, HasSubstr("model.layers.*.mlp.act_fn (4)"));
  EXPECT_THAT(text, HasSubstr("invert  56.0 MiB   -94 %"));
  EXPECT_THAT(text, HasSubstr("saved.held_bytes"));
  EXPECT_THAT(text, Not(HasSubstr("model.layers.2")));
  TextStyle style;
  style.all = true;
  EXPECT_THAT(DiffToText({Observe(), Invert()}, style),
              HasSubstr("model.layers.2.mlp.act_fn"));
}

TEST(Diff, EqualReportsSaySo) {
  EXPECT_THAT(DiffToText({Observe(), Observe()}, TextStyle()),
              HasSubstr("The reports do not differ."));
  EXPECT_EQ(Diff({Observe(), Observe()})["fields"].size(), 0u);
}

TEST(Diff, KeepsTheLargestOfTooManyChanges) {
  RunBuilder a, b;
  for (int i = 0; i < 100; ++i) {
    const std::string name = "m" + std::to_string(i) + "x";
    a.Keep(name, {"AddBackward0", 1000});
    b.Keep(name, {"AddBackward0", 1000 + i});
  }

  const std::string text =
      DiffToText({ReportOf(std::move(a), "00aa000000000000"),
                  ReportOf(std::move(b), "00bb000000000000")},
                 TextStyle());

  EXPECT_THAT(text, HasSubstr("and 59 lines with smaller changes"));
  EXPECT_THAT(text, HasSubstr("m99x"));
  EXPECT_THAT(text, Not(HasSubstr("m20x")));
}

}  // namespace
}  // namespace invact
