// The memory is handed over sealed, or not taken; a process is told from a
// later one of its number; a job's limits are not run into.
#include "plugin/ring/shared_run.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "plugin/ring/relay_launch.h"

namespace invact {
namespace {

TEST(SharedRun, IsMappedOnTheOtherSide) {
  int memfd = -1;
  std::string error;
  SharedRun* ours = CreateSharedRun(&memfd, &error);
  ASSERT_NE(ours, nullptr) << error;
  SharedRun* theirs = MapSharedRun(memfd, &error);
  ASSERT_NE(theirs, nullptr) << error;
  ours->control.site_count.store(42);
  EXPECT_EQ(theirs->control.site_count.load(), 42u);
  // Who holds the descriptor can't pull the memory away from under us.
  EXPECT_NE(ftruncate(memfd, 100), 0);
  EXPECT_NE(ftruncate(memfd, sizeof(SharedRun) + 1), 0);
  ours->layout_version = kLayoutVersion + 1;
  EXPECT_EQ(MapSharedRun(memfd, &error), nullptr);
  EXPECT_NE(error.find("install both from one build"), std::string::npos);
  munmap(ours, sizeof(SharedRun));
  munmap(theirs, sizeof(SharedRun));
  close(memfd);
}

TEST(SharedRun, RefusesWhatIsNotSealedOrOfAnotherSize) {
  std::string error;
  const int open_ended = memfd_create("test", MFD_ALLOW_SEALING);
  ASSERT_EQ(ftruncate(open_ended, sizeof(SharedRun)), 0);
  EXPECT_EQ(MapSharedRun(open_ended, &error), nullptr);
  EXPECT_NE(error.find("not sealed"), std::string::npos) << error;
  const int small = memfd_create("test", MFD_ALLOW_SEALING);
  ASSERT_EQ(ftruncate(small, 4096), 0);
  fcntl(small, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_EQ(MapSharedRun(small, &error), nullptr);
  EXPECT_EQ(MapSharedRun(-1, &error), nullptr);
  EXPECT_NE(error.find("is no memfd"), std::string::npos) << error;
  close(open_ended);
  close(small);
}

TEST(SharedRun, ALimitOnFileSizesDoesNotEndTheJob) {
  const pid_t child = fork();
  if (child == 0) {
    rlimit limit = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    int memfd = -1;
    std::string error;
    const bool refused = CreateSharedRun(&memfd, &error) == nullptr;
    _exit(refused && error.find("ulimit -f") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(RelayLaunch, SaysWhichFileIsMissing) {
  std::string error;
  EXPECT_FALSE(LaunchRelay(0, "/nowhere/invact-relay", &error));
  EXPECT_NE(error.find("/nowhere/invact-relay"), std::string::npos);
}

TEST(RelayLaunch, StartTicksTellProcessesApart) {
  const uint64_t ours = ProcessStartTicks(getpid());
  EXPECT_GT(ours, 0u);
  prctl(PR_SET_NAME, "a) R 1 (b) 2");  // looks like more fields
  EXPECT_EQ(ProcessStartTicks(getpid()), ours);
  EXPECT_LE(ProcessStartTicks(1), ours);
  EXPECT_EQ(ProcessStartTicks(0x7fffffff), 0u);
}

}  // namespace
}  // namespace invact
