#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "daemon/report/runs_json.h"
#include "daemon/report/runs_text.h"
#include "tests/unit/report/run_builder.h"
#include "tests/unit/report/samples.h"

namespace invact {
namespace {

using testing::HasSubstr;

v1::Run RunWithId(const std::string& id) {
  v1::Run run = RunBuilder().run();
  run.set_id(id);
  run.set_job_id(id);
  return run;
}

TEST(RunsToJson, HasOneObjectARunInTheOrderGiven) {
  v1::Run running = RunWithId("00000000000000bb");
  running.set_state("running");
  running.clear_end_reason();
  running.clear_exit_code();
  running.clear_ended_at();
  running.clear_device();

  const auto json = nlohmann::json::parse(
      RunsToJson({running, RunWithId("00000000000000aa")}));

  EXPECT_EQ(json["schema"], "invact.runs/v1");
  ASSERT_EQ(json["runs"].size(), 2u);
  const auto& first = json["runs"][0];
  EXPECT_EQ(first["id"], "00000000000000bb");
  for (const char* key :
       {"end_reason", "exit_code", "signal", "ended_at", "device"}) {
    ASSERT_TRUE(first.contains(key)) << key;
    EXPECT_TRUE(first[key].is_null()) << key;
  }
  EXPECT_EQ(json["runs"][1]["exit_code"], 0);
  EXPECT_EQ(json["runs"][1]["started_at"], "2026-03-02T10:15:04.120Z");
}

TEST(RunsToJson, NoRunsAreAnEmptyList) {
  EXPECT_EQ(nlohmann::json::parse(RunsToJson({}))["runs"].size(), 0u);
}

TEST(RunsToText, ShortensIdsAsLongAsTheyStayUnique) {
  const std::string text =
      RunsToText({RunWithId("7f3a90c2b1d4e5f6"), RunWithId("7f3a90ffffffffff"),
                  RunWithId("0123456789abcdef")},
                 TextStyle());

  EXPECT_THAT(text, HasSubstr("\n7f3a90c  "));
  EXPECT_THAT(text, HasSubstr("\n7f3a90f  "));
  EXPECT_THAT(text, HasSubstr("\n0123456  "));
  EXPECT_THAT(RunsToText({RunWithId("7f3a90c2b1d4e5f6")}, TextStyle()),
              HasSubstr("\n7f3a  "));
}

TEST(RunsToText, OneLineARunWhateverItsName) {
  std::vector<v1::Run> runs;
  for (const std::string& name : HostileNames()) {
    runs.push_back(RunWithId("00000000000000aa"));
    runs.back().set_name(name);
    runs.back().set_device(name);
    runs.back().set_job_id(name);
    runs.back().set_policy(name);
  }

  const std::string text = RunsToText(runs, TextStyle());

  EXPECT_EQ(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')),
            runs.size() + 1);
  EXPECT_THAT(text, testing::Not(HasSubstr("\x1b")));
}

TEST(RunsToText, NothingIsPrintedOfNothing) {
  EXPECT_EQ(RunsToText({}, TextStyle()), "");
}

}  // namespace
}  // namespace invact
