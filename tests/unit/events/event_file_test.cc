#include "plugin/events/event_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "plugin/events/replay.h"
#include "tests/unit/events/events.h"

namespace invact {
namespace {

class EventFiles : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/invact-events-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/events";
  }
  void TearDown() override {
    unlink(path_.c_str());
    rmdir(folder_.c_str());
  }
  std::string Bytes() const {
    std::ifstream in(path_, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(in)), {});
  }
  std::string folder_, path_, error_;
};

Record Numbered(uint64_t number) {
  return EventOf{EventKind::kAlloc, number, 512};
}

TEST_F(EventFiles, WhatWasWrittenIsReadBack) {
  EventFileWriter writer;
  ASSERT_TRUE(writer.Open(path_, 1000, &error_)) << error_;
  for (uint64_t i = 1; i <= 100; ++i) writer.Append(Numbered(i));
  writer.Close({"", "encoder.layer.0"});
  writer.Append(Numbered(5));  // too late

  EventFile file;
  ASSERT_TRUE(ReadEventFile(path_, &file, &error_)) << error_;
  ASSERT_EQ(file.events.size(), 100u);
  for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(file.events[i].address, i + 1);
  EXPECT_EQ(file.scopes.at(1), "encoder.layer.0");
  EXPECT_TRUE(file.complete);
  // The format in docs/memory_events.md: a header of 64 bytes, 48 a record,
  // 6 and its length a name.
  EXPECT_EQ(Bytes().size(), 64u + 100 * 48 + 6 + 6 + 15);
}

TEST_F(EventFiles, WhatFindsNoRoomIsCounted) {
  EventFileWriter writer;
  ASSERT_TRUE(writer.Open(path_, 10, &error_)) << error_;
  for (uint64_t i = 1; i <= 25; ++i) writer.Append(Numbered(i));
  writer.Close({});
  EventFile file;
  ASSERT_TRUE(ReadEventFile(path_, &file, &error_)) << error_;
  EXPECT_EQ(file.events.size(), 10u);
  EXPECT_EQ(file.dropped, 15u);
}

TEST_F(EventFiles, ThreadsLoseNothing) {
  EventFileWriter writer;
  ASSERT_TRUE(writer.Open(path_, 40000, &error_)) << error_;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&writer, t] {
      Record event = {};
      event.kind = static_cast<uint8_t>(EventKind::kAlloc);
      for (uint64_t i = 0; i < 10000; ++i) {
        event.address = t << 32 | i;
        writer.Append(event);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  writer.Close({});
  EventFile file;
  ASSERT_TRUE(ReadEventFile(path_, &file, &error_)) << error_;
  ASSERT_EQ(file.events.size(), 40000u);
  uint64_t next[4] = {};
  for (const Record& event : file.events) {
    EXPECT_EQ(event.address & 0xffffffff, next[event.address >> 32]++);
  }
}

TEST_F(EventFiles, AKilledWriterLeavesItsEvents) {
  const pid_t child = fork();
  if (child == 0) {
    EventFileWriter writer;
    if (!writer.Open(path_, 1000, &error_)) _exit(1);
    for (uint64_t i = 1; i <= 7; ++i) writer.Append(Numbered(i));
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EventFile file;
  ASSERT_TRUE(ReadEventFile(path_, &file, &error_)) << error_;
  EXPECT_EQ(file.events.size(), 7u);
  EXPECT_FALSE(file.complete);
}

TEST_F(EventFiles, AFileThatIsThereIsLeftAlone) {
  std::ofstream(path_) << "somebody's";
  EventFileWriter writer;
  EXPECT_FALSE(writer.Open(path_, 10, &error_));
  EXPECT_NE(error_.find("File exists"), std::string::npos) << error_;
  EXPECT_EQ(Bytes(), "somebody's");
}

TEST_F(EventFiles, EveryTruncationAndEveryBadCodeIsRefusedOrRead) {
  EventFileWriter writer;
  ASSERT_TRUE(writer.Open(path_, 10, &error_)) << error_;
  for (uint64_t i = 1; i <= 3; ++i) writer.Append(Numbered(i));
  writer.Close({"a", "bc"});
  const std::string bytes = Bytes();
  EventFile file;
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(ParseEventFile(bytes.substr(0, size), &file, &error_)) << size;
  }
  ASSERT_TRUE(ParseEventFile(bytes, &file, &error_));
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const char value : {'\x00', '\x7f', '\xff'}) {
      std::string other = bytes;
      other[at] = value;
      EventFile read;
      if (ParseEventFile(other, &read, &error_)) Replay(read.events);
    }
  }
  std::string unknown = bytes;
  unknown[64 + 40] = '\xc8';
  EXPECT_FALSE(ParseEventFile(unknown, &file, &error_));
  EXPECT_NE(error_.find("kind 200"), std::string::npos) << error_;
}

TEST(Replay, GivesEachDeviceItsOwnSteps) {
  std::vector<Record> events;
  const auto add = [&](int device, Record event) {
    event.device = static_cast<int8_t>(device);
    events.push_back(event);
  };
  add(0, EventOf{EventKind::kAlloc, 1 << 20, 100});
  add(1, EventOf{EventKind::kAlloc, 1 << 20, 7});
  add(0, EventOf{.kind = EventKind::kStepBegin, .step = 0});
  add(0, EventOf{EventKind::kFree, 1 << 20, 100});
  add(0, EventOf{.kind = EventKind::kStepBegin, .step = 1});

  const auto devices = Replay(events);
  ASSERT_EQ(devices.size(), 2u);
  const auto& steps = devices.at(0)->steps;
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[0].step, -1);
  EXPECT_EQ(steps[1].peak_bytes, 100);
  EXPECT_EQ(steps[2].peak_bytes, 0);
  EXPECT_EQ(devices.at(1)->account.live_bytes(), 7);
}

}  // namespace
}  // namespace invact
