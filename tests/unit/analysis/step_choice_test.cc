#include "daemon/analysis/step_choice.h"

#include <gtest/gtest.h>

namespace invact {
namespace {

TEST(ParseStepChoice, KnowsItsThreeForms) {
  EXPECT_EQ(ParseStepChoice("")->kind, StepChoice::Kind::kLast);
  EXPECT_EQ(ParseStepChoice("last")->kind, StepChoice::Kind::kLast);
  EXPECT_EQ(ParseStepChoice("max")->kind, StepChoice::Kind::kMax);
  const auto number = ParseStepChoice("17");
  EXPECT_EQ(number->kind, StepChoice::Kind::kIndex);
  EXPECT_EQ(number->index, 17);
}

TEST(ParseStepChoice, RefusesEverythingElseAndSaysWhatToWrite) {
  for (const char* text : {"-1", "1.5", "7x", " 7", "+7", "LAST", "first",
                           "99999999999999999999", "\x1b[2J"}) {
    const auto choice = ParseStepChoice(text);
    ASSERT_FALSE(choice.ok()) << text;
    const std::string message(choice.status().message());
    EXPECT_NE(message.find("last, max or a step's index"), std::string::npos);
    EXPECT_EQ(message.find('\x1b'), std::string::npos);
  }
}

}  // namespace
}  // namespace invact
