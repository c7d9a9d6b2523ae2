#include "daemon/service/choose_run.h"

#include <gmock/gmock.h>

namespace invact {
namespace {

using testing::HasSubstr;

RunRow Row(const std::string& id, const std::string& job, int rank,
           int64_t peak = 0, int64_t held = 0, int restart = 0) {
  RunRow row;
  row.run.set_id(id);
  row.run.set_job_id(job);
  row.run.set_name("train.py");
  row.run.set_rank(rank);
  row.run.set_restart(restart);
  row.run.set_state("finished");
  row.peak_bytes = peak;
  row.peak_held_bytes = held;
  return row;
}

std::string Chosen(const std::string& selector,
                   const std::vector<RunRow>& matches) {
  auto row = ChooseRun(selector, matches);
  return row.ok() ? row->run.id() : row.status().ToString();
}

TEST(ChooseRun, OneMatchIsTheRunWhateverWasWritten) {
  EXPECT_EQ(Chosen("a", {Row("aa", "j", 0)}), "aa");
}

TEST(ChooseRun, AJobIsItsRankWithTheHighestPeak) {
  EXPECT_EQ(Chosen("j", {Row("a", "j", 0, 5), Row("b", "j", 1, 9),
                         Row("c", "j", 2, 7)}),
            "b");
  EXPECT_EQ(Chosen("@last", {Row("a", "j", 0, 5), Row("b", "j", 1, 9)}), "b");
}

TEST(ChooseRun, WithoutAPeakTheOneThatHeldMostThenTheLowestRank) {
  EXPECT_EQ(Chosen("j", {Row("a", "j", 0, 0, 1), Row("b", "j", 1, 0, 2)}), "b");
  EXPECT_EQ(Chosen("j", {Row("b", "j", 1), Row("a", "j", 0)}), "a");
}

TEST(ChooseRun, ARestartedJobIsItsNewestTry) {
  EXPECT_EQ(
      Chosen("j", {Row("old", "j", 0, 99, 99, 0), Row("new", "j", 0, 1, 1, 1)}),
      "new");
}

TEST(ChooseRun, APrefixOrNameOfSeveralIsAmbiguousAndListsThem) {
  auto prefix = ChooseRun("a", {Row("ab", "j", 0), Row("ac", "j", 1)});
  EXPECT_TRUE(absl::IsInvalidArgument(prefix.status()));
  EXPECT_THAT(std::string(prefix.status().message()),
              HasSubstr("ab (train.py"));

  auto name = ChooseRun("train.py", {Row("ab", "j", 0), Row("ac", "k", 0)});
  EXPECT_TRUE(absl::IsInvalidArgument(name.status()));

  std::vector<RunRow> many;
  for (int i = 0; i < 20; ++i)
    many.push_back(Row("a" + std::to_string(i), "j", i));
  EXPECT_THAT(std::string(ChooseRun("a", many).status().message()),
              HasSubstr("and 12 more"));
}

TEST(ChooseRun, NoMatchSaysWhereToLook) {
  EXPECT_THAT(Chosen("x", {}), HasSubstr("see what there is with: invact ls"));
  EXPECT_THAT(Chosen("@last", {}), HasSubstr("invact run -- CMD"));
}

TEST(ChooseRank, TakesTheNewestTryOfThatRankOrNamesTheRanks) {
  const std::vector<RunRow> job = {Row("a0", "j", 0), Row("b0", "j", 1),
                                   Row("b1", "j", 1, 0, 0, 1)};
  EXPECT_EQ(ChooseRank(1, job)->run.id(), "b1");
  const absl::Status status = ChooseRank(5, job).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("ranks 0, 1"));
}

}  // namespace
}  // namespace invact
