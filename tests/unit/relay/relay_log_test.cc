// The log is short, clean and private.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "plugin/relay/log.h"

namespace invact {
namespace {

namespace fs = std::filesystem;

class LogTest : public testing::Test {
 protected:
  LogTest() {
    std::string pattern = testing::TempDir() + "logXXXXXX";
    folder_ = mkdtemp(pattern.data());
    dir_ = open(folder_.c_str(), O_RDONLY | O_DIRECTORY);
  }
  ~LogTest() override {
    close(dir_);
    fs::remove_all(folder_);
  }
  std::string Text() const {
    std::stringstream text;
    text << std::ifstream(folder_ / "relay.log").rdbuf();
    return text.str();
  }
  fs::path folder_;
  int dir_;
};

TEST_F(LogTest, WhatWasSaidBeforeItOpenedIsInIt) {
  RelayLog log;
  log.Say("first");
  log.Open(dir_);
  log.Say("second");
  log.Say("second");
  const std::string text = Text();
  EXPECT_LT(text.find("Z first\n"), text.find("Z second\n"));
  EXPECT_EQ(text.find("second"), text.rfind("second"));
  EXPECT_EQ(fs::status(folder_ / "relay.log").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(LogTest, NeverGrowsBeyondItsBound) {
  RelayLog log;
  log.Open(dir_);
  for (int n = 0; n < 5000; ++n) {
    log.Say(std::string(100, 'x') + std::to_string(n));
    ASSERT_LE(fs::file_size(folder_ / "relay.log"), RelayLog::kMostBytes);
  }
  EXPECT_NE(Text().find("x4999\n"), std::string::npos);
}

TEST_F(LogTest, APeersTextCannotForgeLines) {
  RelayLog log;
  log.Open(dir_);
  log.Say("refused: \n2026-01-01 forged\x1b[31m\xff" + std::string(9000, 'y'));
  const std::string text = Text();
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_LT(text.size(), 1100u);
}

TEST_F(LogTest, ALinkInItsPlaceIsNotFollowed) {
  fs::create_symlink(folder_ / "target", folder_ / "relay.log");
  RelayLog log;
  log.Open(dir_);
  log.Say("text");
  EXPECT_FALSE(fs::exists(folder_ / "target"));
}

}  // namespace
}  // namespace invact
