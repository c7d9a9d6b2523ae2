#include "plugin/checkpoint/choose_blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace invact {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto kOther = ModuleKind::kOther;
constexpr auto kList = ModuleKind::kList;
constexpr auto kSequential = ModuleKind::kSequential;

// An encoder of two small blocks, a decoder of one large block.
std::vector<ModuleFacts> EncoderDecoder() {
  return {{"", -1, kOther, 0},
          {"encoder", 0, kOther, 0},
          {"encoder.layers", 1, kList, 0},
          {"encoder.layers.0", 2, kOther, 10},
          {"encoder.layers.0.mlp", 3, kOther, 10},
          {"encoder.layers.1", 2, kOther, 20},
          {"decoder", 0, kList, 0},
          {"decoder.0", 6, kOther, 100}};
}

std::vector<std::string> Paths(const std::vector<ModuleFacts>& modules,
                               const BlockChoice& choice, BlockPlan plan) {
  std::vector<std::string> paths;
  for (size_t i = 0; i < modules.size(); ++i) {
    if (choice.plan[i] == plan) paths.push_back(modules[i].path);
  }
  return paths;
}

std::vector<std::string> Chosen(const std::vector<ModuleFacts>& modules,
                                const std::vector<std::string>& globs = {},
                                const std::vector<std::string>& exclude = {}) {
  return Paths(modules, ChooseBlocks(modules, globs, exclude),
               BlockPlan::kCheckpoint);
}

TEST(ChooseBlocks, TakesTheListWithTheMostParameters) {
  EXPECT_THAT(Chosen(EncoderDecoder()), ElementsAre("decoder.0"));
}

TEST(ChooseBlocks, TakesTheOutermostOfWhatAGlobMatches) {
  EXPECT_THAT(Chosen(EncoderDecoder(), {"encoder.*"}),
              ElementsAre("encoder.layers.0", "encoder.layers.1"));
  EXPECT_THAT(Chosen(EncoderDecoder(), {"*.mlp", "decoder*"}),
              ElementsAre("encoder.layers.0.mlp", "decoder.0"));
}

TEST(ChooseBlocks, TakesASequenceOfBlocksOnlyWithoutAList) {
  std::vector<ModuleFacts> modules = {{"", -1, kSequential, 0},
                                      {"0", 0, kSequential, 0},
                                      {"0.0", 1, kOther, 50},
                                      {"1", 0, kOther, 0},
                                      {"1.fc", 3, kOther, 1}};
  EXPECT_THAT(Chosen(modules), ElementsAre("0", "1"));
  modules.push_back({"list", 0, kList, 0});
  modules.push_back({"list.0", 5, kOther, 1});
  EXPECT_THAT(Chosen(modules), ElementsAre("list.0"));
}

TEST(ChooseBlocks, TakesNothingFromASequenceOfLayers) {
  const BlockChoice choice = ChooseBlocks(
      {{"", -1, kSequential, 0}, {"0", 0, kOther, 5}, {"1", 0, kOther, 5}}, {},
      {});
  EXPECT_FALSE(choice.any);
}

TEST(ChooseBlocks, KeepsABlockThatContainsAnExcludedModule) {
  const auto modules = EncoderDecoder();
  const BlockChoice choice =
      ChooseBlocks(modules, {"encoder.layers.*"}, {"*.0.mlp"});
  EXPECT_THAT(Paths(modules, choice, BlockPlan::kExcluded),
              ElementsAre("encoder.layers.0"));
  EXPECT_THAT(Paths(modules, choice, BlockPlan::kCheckpoint),
              ElementsAre("encoder.layers.1"));
}

TEST(ChooseBlocks, NamesTheNearestPathsOfAGlobWithoutAMatch) {
  const BlockChoice choice =
      ChooseBlocks(EncoderDecoder(), {"encoder.layer.0", "decoder.0"}, {});
  EXPECT_THAT(choice.unmatched,
              ElementsAre(HasSubstr("nearest: encoder.layers.0, ")));
  EXPECT_TRUE(choice.any);
  EXPECT_THAT(ChooseBlocks(EncoderDecoder(), {"decoder.0"}, {}).unmatched,
              IsEmpty());
}

}  // namespace
}  // namespace invact
