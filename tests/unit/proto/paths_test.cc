// Which variable wins, and which address is refused with what to write.
#include "proto/paths.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace invact {
namespace {

using Paths = std::vector<std::string>;

PathEnvironment Home() {
  PathEnvironment environment;
  environment.home = "/home/ann";
  environment.uid = 1000;
  return environment;
}

TEST(StateDir, TakesTheFirstThatIsSet) {
  PathEnvironment environment = Home();
  EXPECT_EQ(StateDir(environment), "/home/ann/.local/state/invact");
  environment.xdg_state_home = "/xdg/";
  EXPECT_EQ(StateDir(environment), "/xdg/invact");
  environment.invact_state_dir = "/own//";
  EXPECT_EQ(StateDir(environment), "/own");
  EXPECT_EQ(StateDir(PathEnvironment()), "");
}

TEST(DefaultSocket, IsInTheRuntimeFolderElseInTmp) {
  PathEnvironment environment = Home();
  EXPECT_EQ(DefaultSocket(environment), "/tmp/invact-1000/d.sock");
  environment.xdg_runtime_dir = "/run/user/1000";
  EXPECT_EQ(DefaultSocket(environment), "/run/user/1000/invact/d.sock");
}

TEST(SpoolDirs, AreTriedInOrderUnlessOneIsNamed) {
  PathEnvironment environment = Home();
  environment.tmpdir = "/scratch/";
  EXPECT_EQ(SpoolDirs(environment),
            (Paths{"/home/ann/.local/state/invact/spool",
                   "/scratch/invact-1000", "/tmp/invact-1000/spool"}));
  environment.invact_spool_dir = "/spool/";
  EXPECT_EQ(SpoolDirs(environment), Paths{"/spool"});
  PathEnvironment nothing;
  nothing.uid = 7;
  EXPECT_EQ(SpoolDirs(nothing), Paths{"/tmp/invact-7/spool"});
}

DaemonAddress Parsed(const std::string& text) {
  PathEnvironment environment = Home();
  environment.invact_daemon = text;
  DaemonAddress address;
  std::string error;
  EXPECT_TRUE(ParseDaemonAddress(environment, &address, &error)) << error;
  return address;
}

std::string Refused(const std::string& text) {
  PathEnvironment environment = Home();
  environment.invact_daemon = text;
  DaemonAddress address;
  std::string error;
  EXPECT_FALSE(ParseDaemonAddress(environment, &address, &error)) << text;
  return error;
}

TEST(DaemonAddress, IsASocketOrAHostAndPort) {
  EXPECT_EQ(Parsed("").socket, "/tmp/invact-1000/d.sock");
  EXPECT_EQ(Parsed("unix:/a/d.sock").socket, "/a/d.sock");
  EXPECT_EQ(Parsed("unix:///a/d.sock").socket, "/a/d.sock");
  EXPECT_TRUE(Parsed("unix:/a/d.sock").unix_socket);
  EXPECT_EQ(Parsed("unix:/" + std::string(106, 'p')).socket.size(), 107u);
  EXPECT_FALSE(Parsed("node7:7411").unix_socket);
  EXPECT_EQ(Parsed("node7:7411").host_port, "node7:7411");
  for (const char* near :
       {"127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:7411"}) {
    EXPECT_TRUE(Parsed(near).loopback) << near;
  }
  // A name may resolve to anything, and so may a number that looks like ours.
  for (const char* far :
       {"node7:1", "10.0.0.1:1", "[2001:db8::1]:1", "127.evil.org:1",
        "localhost.evil.org:1", "0.0.0.0:1"}) {
    EXPECT_FALSE(Parsed(far).loopback) << far;
  }
}

TEST(DaemonAddress, ThatIsWrongIsRefusedWithWhatToWrite) {
  EXPECT_NE(Refused("unix:d.sock").find("unix:/PATH"), std::string::npos);
  EXPECT_NE(Refused("unix:").find("must be absolute"), std::string::npos);
  const std::string too_long = Refused("unix:/" + std::string(107, 'p'));
  EXPECT_NE(too_long.find("108 bytes"), std::string::npos) << too_long;
  EXPECT_NE(too_long.find("allows 107"), std::string::npos) << too_long;
  for (const char* text :
       {"nonsense", "host:", ":7411", "host:0", "host:65536", "host:abc",
        "::1:7411", "http://host:7411", "host:7411/x", "ho st:1"}) {
    EXPECT_NE(Refused(text).find("neither unix:PATH nor HOST:PORT"),
              std::string::npos)
        << text;
  }
}

}  // namespace
}  // namespace invact
