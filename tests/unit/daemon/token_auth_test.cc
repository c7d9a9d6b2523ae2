#include "daemon/service/token_auth.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/daemon/store_fixture.h"

namespace invact {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kToken[] = "0123456789abcdef";

TEST(TokenAuth, AsksForTheTokenOverTcpOnly) {
  const TokenAuth auth(kToken);
  EXPECT_TRUE(auth.Check("unix:", "").ok());
  EXPECT_TRUE(auth.Check("ipv4:10.0.0.1:5", "Bearer 0123456789abcdef").ok());
  for (const char* given :
       {"", "0123456789abcdef", "Bearer ", "Bearer 0123456789abcdeF",
        "Bearer 0123456789abcdef ", "bearer 0123456789abcdef"}) {
    const absl::Status status = auth.Check("ipv6:[::1]:5", given);
    EXPECT_TRUE(absl::IsUnauthenticated(status)) << given;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("0123456789")));
  }
}

TEST(TokenAuth, WithoutATokenTheListenerDecides) {
  EXPECT_TRUE(TokenAuth("").Check("ipv4:127.0.0.1:5", "").ok());
}

class TokenFile : public StoreTest {
 protected:
  absl::StatusOr<std::string> Read(const std::string& text, mode_t mode) {
    const std::string path = folder_ + "/token";
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return TokenAuth::ReadTokenFile(path);
  }
};

TEST_F(TokenFile, IsReadWithoutTheSpaceAroundIt) {
  EXPECT_EQ(*Read(std::string("  ") + kToken + "\n", 0600), kToken);
}

TEST_F(TokenFile, OneThatOthersReadIsRefused) {
  EXPECT_THAT(std::string(Read(kToken, 0640).status().message()),
              HasSubstr("run: chmod 600"));
}

TEST_F(TokenFile, AShortOneAMissingOneAndALinkAreRefused) {
  EXPECT_THAT(std::string(Read("short", 0600).status().message()),
              HasSubstr("openssl rand -hex 32"));
  EXPECT_FALSE(TokenAuth::ReadTokenFile(folder_ + "/none").ok());
  Read(kToken, 0600).status().IgnoreError();
  std::filesystem::create_symlink(folder_ + "/token", folder_ + "/link");
  EXPECT_FALSE(TokenAuth::ReadTokenFile(folder_ + "/link").ok());
}

}  // namespace
}  // namespace invact
