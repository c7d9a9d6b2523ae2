// The reports of a few runs, kept word for word in tests/data: a change of
// what people and programs read is seen in review. Not written by hand; after
// a wanted change run what the failure names and read the difference.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <tuple>

#include "tests/unit/report/samples.h"

namespace invact {
namespace {

using Golden = std::tuple<std::string, std::string>;

class GoldenReport : public testing::TestWithParam<Golden> {};

TEST_P(GoldenReport, IsWordForWordTheSame) {
  const auto& [name, format] = GetParam();
  const std::string file = name + ".report." + format;
  std::ifstream in(std::string(INVACT_TEST_DATA) + "/" + file,
                   std::ios::binary);
  ASSERT_TRUE(in.is_open()) << "no tests/data/" << file;
  std::ostringstream want;
  want << in.rdbuf();
  EXPECT_EQ(PrintSample(name, format), want.str())
      << "if this is wanted: build/tests/print_sample " << name << " " << format
      << " > tests/data/" << file;
}

INSTANTIATE_TEST_SUITE_P(
    All, GoldenReport,
    testing::Values(Golden("llama_invert", "txt"), Golden("llama_invert", "md"),
                    Golden("bert_observe", "txt"),
                    Golden("bert_observe", "csv"), Golden("oom", "txt"),
                    Golden("declined", "txt"), Golden("declined", "all.txt"),
                    Golden("declined", "json"), Golden("declined", "csv"),
                    Golden("declined", "md"), Golden("hostile", "txt"),
                    Golden("hostile", "all.txt"), Golden("hostile", "json"),
                    Golden("hostile", "csv"), Golden("hostile", "md")),
    [](const auto& test) {
      std::string name =
          std::get<0>(test.param) + "_" + std::get<1>(test.param);
      for (char& c : name) c = c == '.' ? '_' : c;
      return name;
    });

}  // namespace
}  // namespace invact
