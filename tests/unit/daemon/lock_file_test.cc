#include "daemon/store/lock_file.h"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/unit/daemon/store_fixture.h"

namespace invact {
namespace {

using testing::HasSubstr;

class Lock : public StoreTest {
 protected:
  absl::StatusOr<LockFile> Take(const LockOwner& self = ThisProcess()) {
    return LockFile::Take(path_, "database", self);
  }
  std::string path_ = folder_ + "/invact.db.lock";
};

TEST_F(Lock, ASecondOwnerIsToldWhoTheFirstIs) {
  const LockOwner first{"node1", "boot1", 4711};
  auto lock = Take(first);
  ASSERT_TRUE(lock.ok()) << lock.status();

  const absl::Status status = Take().status();

  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("pid 4711 on node1 owns the database"));
}

TEST_F(Lock, AKilledOwnerOnThisMachineIsFollowed) {
  { auto lock = Take(); }
  auto next = Take();
  ASSERT_TRUE(next.ok());
  EXPECT_TRUE(next->was_left_behind());
}

TEST_F(Lock, AnOwnerThatReleasedLeavesNoTrace) {
  {
    auto lock = Take();
    lock->Release();
  }
  auto next = Take();
  ASSERT_TRUE(next.ok());
  EXPECT_FALSE(next->was_left_behind());
}

TEST_F(Lock, AnotherMachinesFileIsRefusedThoughItsFlockIsFree) {
  { auto lock = Take({"node1", "boot1", 4711}); }

  const absl::Status status = Take({"node2", "boot2", 9}).status();

  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("on host node1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("remove the lock file"));
  EXPECT_TRUE(Take({"node1", "boot9", 9}).ok()) << "the host was restarted";
}

TEST_F(Lock, GarbageInTheFileIsNoOwner) {
  std::ofstream(path_) << std::string(1000, '\xff');
  const absl::Status status = Take().status();
  // Whoever wrote that may live: it names no host of ours.
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

}  // namespace
}  // namespace invact
