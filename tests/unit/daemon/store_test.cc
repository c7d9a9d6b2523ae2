// Store: batches, full disks, damage, quota and who may open the file.
#include "daemon/store/store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "daemon/store/file_system.h"
#include "tests/unit/daemon/store_fixture.h"

namespace invact {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(StoreTest, ABatchThatComesTwiceIsStoredOnce) {
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  ASSERT_TRUE(Append(*store, run, Batch(1, 10)).ok());

  EXPECT_TRUE(Append(*store, run, Batch(1, 10)).ok());

  EXPECT_EQ(Count("SELECT COUNT(*) FROM batches"), 1);
  EXPECT_EQ(Count("SELECT SUM(events) FROM batches"), 10);
}

TEST_F(StoreTest, AHoleInTheNumbersIsRefusedAndHarmsNothing) {
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());

  ASSERT_TRUE(store->Begin().ok());
  const v1::Batch first = Batch(1), third = Batch(3);
  ASSERT_TRUE(store->AppendBatch(run, first, 1).ok());
  const absl::Status refused = store->AppendBatch(run, third, 1);
  ASSERT_TRUE(store->Commit().ok());

  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_FALSE(IsStoreFailure(refused));
  EXPECT_EQ(Count("SELECT MAX(seq) FROM batches"), 1);
}

TEST_F(StoreTest, WhatWasNotCommittedIsNotThere) {
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  ASSERT_TRUE(store->Begin().ok());
  const v1::Batch batch = Batch(1, 10);
  ASSERT_TRUE(store->AppendBatch(run, batch, 1).ok());
  store->Rollback();

  EXPECT_EQ(Count("SELECT COUNT(*) FROM batches"), 0);
  EXPECT_TRUE(Append(*store, run, Batch(1, 10)).ok());
}

TEST_F(StoreTest, AFullDiskFailsTheGroupKeepsTheFileAndLetsReadersIn) {
  options_.max_pages = 60;
  options_.quota_bytes = 0;
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  uint64_t stored = 0;
  absl::Status status;
  while ((status = Append(*store, run, Batch(stored + 1, 100))).ok()) ++stored;

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(IsStoreFailure(status));
  EXPECT_GT(stored, 3u);
  EXPECT_EQ(Count("SELECT COUNT(*) FROM batches"), stored);
  EXPECT_EQ(ReadRun().state(), "running");

  // Space returns: the same batch goes in, nothing is twice.
  store->Close();
  store.reset();
  options_.max_pages = 0;
  store = Open();
  EXPECT_TRUE(Append(*store, run, Batch(stored + 1, 100)).ok());
  EXPECT_EQ(Count("SELECT COUNT(*) FROM batches"), stored + 1);
  EXPECT_EQ(Count("SELECT COUNT(*) FROM event_blobs"), stored + 1);
}

TEST_F(StoreTest, TheQuotaDropsOldestEventsFirstAndKeepsRows) {
  options_.quota_bytes = 1 << 20;
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  for (int seq = 1; seq <= 60; ++seq) {
    v1::Batch batch = Batch(seq, 1000);
    v1::StepTotals& step = *batch.add_steps();
    step.set_index(seq);
    step.set_phase("done");
    ASSERT_TRUE(Append(*store, run, batch).ok());
  }

  auto dropped = store->EnforceQuota();

  ASSERT_TRUE(dropped.ok()) << dropped.status();
  EXPECT_GT(*dropped, 0);
  const int64_t kept = Count("SELECT COUNT(*) FROM event_blobs");
  EXPECT_EQ(*dropped, (60 - kept) * 1000);
  EXPECT_EQ(Count("SELECT MIN(seq) FROM event_blobs"), 60 - kept + 1);
  EXPECT_GT(kept, 10);
  EXPECT_EQ(Count("SELECT COUNT(*) FROM steps"), 60);
  EXPECT_EQ(Count("SELECT events_expired FROM runs"), *dropped);
  // The pages go back to the file system.
  ASSERT_TRUE(store->Checkpoint().ok());
  EXPECT_LT(std::filesystem::file_size(options_.path), 1 << 20);
  EXPECT_EQ(std::filesystem::file_size(options_.path + "-wal"), 0u);
  EXPECT_EQ(*store->EnforceQuota(), 0);
}

TEST_F(StoreTest, ADamagedFileIsKeptAsideAndANewOneIsStarted) {
  for (const size_t at : {size_t{0}, size_t{24 * 1024}}) {
    notes_.clear();
    auto store = Open();
    const int64_t run = OpenRun(*store, Hello());
    for (int seq = 1; seq <= 20; ++seq) {
      ASSERT_TRUE(Append(*store, run, Batch(seq, 500)).ok());
    }
    store->Close();
    store.reset();
    {
      std::fstream file(options_.path,
                        std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(at);
      file << std::string(8192, '\x5a');
    }
    std::ifstream before(options_.path, std::ios::binary);
    const std::string damaged(std::istreambuf_iterator<char>(before), {});

    store = Open();

    ASSERT_NE(store, nullptr);
    ASSERT_EQ(notes_.size(), 1u) << at;
    EXPECT_THAT(notes_[0], HasSubstr("the database was damaged"));
    EXPECT_EQ(Count("SELECT COUNT(*) FROM runs"), 0);
    std::string aside;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (entry.path().string().find(".corrupt-") != std::string::npos &&
          notes_[0].find(entry.path().string()) != std::string::npos) {
        aside = entry.path();
      }
    }
    std::ifstream after(aside, std::ios::binary);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(after), {}), damaged);
    store->Close();
    store.reset();
    std::filesystem::remove(options_.path);
  }
}

TEST_F(StoreTest, OnANetworkFileSystemNoOtherProcessOpensIt) {
  options_.sharing = Database::Sharing::kThisProcess;
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  ASSERT_TRUE(Append(*store, run, Batch(1, 10)).ok());

  EXPECT_FALSE(std::filesystem::exists(options_.path + "-shm"));
  EXPECT_EQ(Count("SELECT COUNT(*) FROM batches"), 1) << "our own readers";

  // What SQLite asks for first in any other process: a shared lock on these
  // bytes. (Not by SQLite itself: a forked child would share its state.)
  const pid_t child = fork();
  if (child == 0) {
    const int fd = open(options_.path.c_str(), O_RDONLY);
    struct flock lock = {};
    lock.l_type = F_RDLCK;
    lock.l_start = 0x40000002;
    lock.l_len = 510;
    const bool refused = fcntl(fd, F_SETLK, &lock) != 0 && errno == EAGAIN;
    _exit(refused ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_F(StoreTest, OnALocalFileSystemOthersMayRead) {
  auto store = Open();
  OpenRun(*store, Hello());
  EXPECT_TRUE(std::filesystem::exists(options_.path + "-shm"));
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    EXPECT_EQ(std::filesystem::status(options_.path + suffix).permissions(),
              std::filesystem::perms::owner_read |
                  std::filesystem::perms::owner_write)
        << suffix;
  }
}

TEST(FileSystem, KnowsWhichOnesOtherMachinesShare) {
  for (const uint64_t type :
       {0x6969ul, 0xff534d42ul, 0xfe534d42ul, 0x65735546ul, 0x0bd00bd0ul,
        0x00c36400ul, 0x47504653ul, 0xffffffffff534d42ul}) {
    EXPECT_TRUE(FileSystemOfType(type).network) << std::hex << type;
  }
  for (const uint64_t type :
       {0xef53ul, 0x58465342ul, 0x9123683eul, 0x01021994ul, 0x794c7630ul}) {
    EXPECT_FALSE(FileSystemOfType(type).network) << std::hex << type;
  }
  EXPECT_EQ(FileSystemOfType(0x6969).name, "nfs");
  EXPECT_EQ(FileSystemOfType(0x1234).name, "0x1234");
  EXPECT_TRUE(FileSystemOf("/").ok());
  EXPECT_FALSE(FileSystemOf("/no such folder").ok());
}

}  // namespace
}  // namespace invact
