#include "daemon/report/escape.h"

#include <gtest/gtest.h>

#include "tests/unit/report/samples.h"

namespace invact {
namespace {

TEST(EscapeLine, LeavesOrdinaryTextAlone) {
  EXPECT_EQ(EscapeLine("model.layers.0.mlp"), "model.layers.0.mlp");
  EXPECT_EQ(EscapeLine("größe.模型"), "größe.模型");
  EXPECT_EQ(EscapeLine(""), "");
}

TEST(EscapeLine, MakesControlsVisible) {
  EXPECT_EQ(EscapeLine("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(EscapeLine("\x1b[2J\x7f"), "\\x1b[2J\\x7f");
  EXPECT_EQ(EscapeLine(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(EscapeLine("\xc2\x9b"), "\\u{9b}");
  EXPECT_EQ(EscapeLine("\xe2\x80\xae"), "\\u{202e}");
  EXPECT_EQ(EscapeLine("\xe2\x80\xa8"), "\\u{2028}");
}

TEST(EscapeLine, ShowsBytesThatAreNoUtf8) {
  EXPECT_EQ(EscapeLine("\xff"), "\\xff");
  EXPECT_EQ(EscapeLine("\xc3("), "\\xc3(");
  EXPECT_EQ(EscapeLine("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(EscapeLine("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(EscapeLine("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(EscapeLine("\xe2\x82"), "\\xe2\\x82");  // torn
}

TEST(EscapeLine, DoesNothingToWhatItMade) {
  for (const std::string& name : HostileNames()) {
    const std::string once = EscapeLine(name);
    EXPECT_EQ(EscapeLine(once), once);
  }
}

TEST(DisplayWidth, CountsColumns) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("größe"), 5);
  EXPECT_EQ(DisplayWidth("模型"), 4);
  EXPECT_EQ(DisplayWidth("e\xcc\x81"), 1);
}

TEST(Shorten, KeepsTheEndsWithinTheWidth) {
  EXPECT_EQ(Shorten("short", 10), "short");
  EXPECT_EQ(Shorten("abcdefghijklmnop", 8), "ab..mnop");
  for (const std::string& name : HostileNames()) {
    for (int width = 4; width < 60; ++width) {
      EXPECT_LE(DisplayWidth(Shorten(EscapeLine(name), width)), width);
    }
  }
}

TEST(CsvField, QuotesWhereNeedBe) {
  EXPECT_EQ(CsvField("plain"), "plain");
  EXPECT_EQ(CsvField("a,b"), "\"a,b\"");
  EXPECT_EQ(CsvField("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(CsvField("a\nb"), "a\\nb");
  EXPECT_EQ(CsvField("=1+1"), "'=1+1");
  EXPECT_EQ(CsvField("=\"x\""), "\"'=\"\"x\"\"\"");
}

TEST(MarkdownText, OpensNothing) {
  EXPECT_EQ(MarkdownText("a|b"), "a\\|b");
  EXPECT_EQ(MarkdownText("<b>"), "&lt;b&gt;");
  EXPECT_EQ(MarkdownText("[x](y)"), "\\[x\\]\\(y\\)");
  EXPECT_EQ(MarkdownText("@all #1"), "&#64;all &#35;1");
  EXPECT_EQ(MarkdownText("a\n# b"), "a\\\\n&#35; b");
}

}  // namespace
}  // namespace invact
