#include "daemon/options.h"

#include <gmock/gmock.h>

#include <cstdlib>

namespace invact {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<Options> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "invactd");
  auto parsed =
      ParseOptions(static_cast<int>(arguments.size()), arguments.data());
  if (!parsed.ok()) return parsed.status();
  return **parsed;
}

class OptionsTest : public testing::Test {
 protected:
  OptionsTest() {
    for (const char* name :
         {"INVACT_STATE_DIR", "INVACT_SPOOL_DIR", "INVACT_DAEMON",
          "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TMPDIR", "HOME"}) {
      unsetenv(name);
    }
    setenv("HOME", "/home/me", 1);
  }
};

TEST_F(OptionsTest, BytesAreIntegersOrBinaryUnits) {
  EXPECT_EQ(*ParseBytes("0"), 0);
  EXPECT_EQ(*ParseBytes("10737418240"), int64_t{10} << 30);
  EXPECT_EQ(*ParseBytes("1KiB"), 1024);
  EXPECT_EQ(*ParseBytes("3MiB"), 3 << 20);
  EXPECT_EQ(*ParseBytes("10GiB"), int64_t{10} << 30);
  EXPECT_EQ(*ParseBytes("2TiB"), int64_t{2} << 40);
  for (const char* text :
       {"40GB", "40G", "40 GiB", "40gib", "GiB", "", "-1", "1.5GiB", "0x10",
        "9999999TiB", "99999999999999999999"}) {
    EXPECT_FALSE(ParseBytes(text).ok()) << text;
  }
  EXPECT_THAT(std::string(ParseBytes("40GB").status().message()),
              HasSubstr("write 40GiB"));
  EXPECT_THAT(std::string(ParseBytes("7M").status().message()),
              HasSubstr("write 7MiB"));
}

TEST_F(OptionsTest, PathsFollowTheOneRule) {
  auto options = Parse({});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->database(), "/home/me/.local/state/invact/invact.db");
  const std::string tmp = "/tmp/invact-" + std::to_string(geteuid());
  EXPECT_EQ(options->socket, tmp + "/d.sock");
  EXPECT_THAT(
      options->spool_dirs,
      ElementsAre("/home/me/.local/state/invact/spool", tmp + "/spool"));

  setenv("INVACT_STATE_DIR", "/state/", 1);
  setenv("XDG_RUNTIME_DIR", "/run/me", 1);
  setenv("TMPDIR", "/scratch", 1);
  options = Parse({});
  EXPECT_EQ(options->state_dir, "/state");
  EXPECT_EQ(options->socket, "/run/me/invact/d.sock");
  EXPECT_THAT(options->spool_dirs,
              ElementsAre("/state/spool",
                          "/scratch/invact-" + std::to_string(geteuid()),
                          tmp + "/spool"));

  setenv("INVACT_DAEMON", "unix:/s/d.sock", 1);
  setenv("INVACT_SPOOL_DIR", "/only", 1);
  options = Parse({"--state-dir", "/elsewhere"});
  EXPECT_EQ(options->socket, "/s/d.sock");
  EXPECT_EQ(options->state_dir, "/elsewhere");
  EXPECT_THAT(options->spool_dirs, ElementsAre("/only"));
}

TEST_F(OptionsTest, WithoutAnyFolderItSaysWhatToSet) {
  unsetenv("HOME");
  EXPECT_THAT(std::string(Parse({}).status().message()),
              HasSubstr("set INVACT_STATE_DIR or HOME"));
  EXPECT_TRUE(Parse({"--state-dir", "/s"}).ok());
}

TEST_F(OptionsTest, BadValuesAreRefusedWithWhatToDo) {
  const std::string long_path = "/" + std::string(110, 'x');
  const std::pair<std::vector<const char*>, const char*> kCases[] = {
      {{"--socket", long_path.c_str()}, "a Unix socket allows 107"},
      {{"--socket", "relative"}, "must be absolute"},
      {{"--quota", "10GB"}, "--quota \"10GB\": write 10GiB"},
      {{"--colour"}, "see: invactd --help"},
      {{"--idle-exit", "-1"}, "idle-exit"},
      {{"--lost-after", "0"}, "lost-after"},
      {{"--log", "loud"}, "log"},
      {{"--listen", "7411"}, "is not HOST:PORT"},
      {{"--listen", "127.0.0.1:99999"}, "is not HOST:PORT"},
      {{"--listen", "127.0.0.1:1", "--tls-cert", "c"}, "come together"},
      {{"--listen", "0.0.0.0:1"}, "needs --tls-cert, --tls-key and"},
      {{"--listen", "[::]:1", "--token-file", "t"}, "needs --tls-cert"},
      {{"--listen", "myhost:1", "--tls-cert", "c", "--tls-key", "k"},
       "and --token-file"},
  };
  for (const auto& [arguments, text] : kCases) {
    const absl::Status status = Parse(arguments).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  }
}

TEST_F(OptionsTest, LoopbackNeedsNoCertificate) {
  for (const char* at :
       {"127.0.0.1:0", "127.9.9.9:1", "[::1]:1", "localhost:1"}) {
    EXPECT_TRUE(Parse({"--listen", at}).ok()) << at;
  }
  EXPECT_TRUE(Parse({"--listen", "0.0.0.0:1", "--tls-cert", "c", "--tls-key",
                     "k", "--token-file", "t"})
                  .ok());
}

}  // namespace
}  // namespace invact
