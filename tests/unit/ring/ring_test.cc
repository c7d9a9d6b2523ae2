// What is pushed comes out once and in order, or is counted as dropped.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "plugin/ring/reader.h"
#include "plugin/ring/writer.h"

namespace invact {
namespace {

std::unique_ptr<SharedRun> Memory() { return std::make_unique<SharedRun>(); }

Record Numbered(int64_t number, uint64_t writer = 0) {
  Record record = {};
  record.bytes = number;
  record.stream = writer;
  record.address = ~static_cast<uint64_t>(number);
  return record;
}

std::vector<Record> Records(const std::string& bytes) {
  std::vector<Record> records(bytes.size() / sizeof(Record));
  if (records.empty()) return records;
  std::memcpy(records.data(), bytes.data(), records.size() * sizeof(Record));
  return records;
}

// Of one writer each: in order, whole, none twice. How many.
size_t CheckOrder(const std::string& bytes,
                  std::map<uint64_t, int64_t>* newest) {
  for (const Record& record : Records(bytes)) {
    EXPECT_EQ(record.address, ~static_cast<uint64_t>(record.bytes));
    const auto [at, first] = newest->try_emplace(record.stream, -1);
    EXPECT_LT(at->second, record.bytes);
    at->second = record.bytes;
  }
  return bytes.size() / sizeof(Record);
}

// Each test's writers are threads of their own: a claim lives as long as they.
template <typename Function>
void InThread(Function function) {
  std::thread(function).join();
}

TEST(Ring, RecordsComeOutInOrderAcrossWraparounds) {
  auto shared = Memory();
  Reader reader(shared.get());
  std::map<uint64_t, int64_t> newest;
  InThread([&] {
    int64_t number = 0;
    // Steps of a size that divides nothing: the seam falls everywhere.
    while (number < int64_t{5} * kRingRecords) {
      for (int i = 0; i < 1237; ++i)
        PushRecord(shared.get(), Numbered(number++));
      std::string taken;
      EXPECT_EQ(reader.TakeRecords(kRingRecords, &taken), 1237u);
      EXPECT_EQ(CheckOrder(taken, &newest), 1237u);
    }
    EXPECT_EQ(newest[0], number - 1);
  });
  EXPECT_EQ(reader.events_dropped(), 0u);
}

TEST(Ring, AFullRingDropsTheNewestAndCountsThem) {
  auto shared = Memory();
  Reader reader(shared.get());
  InThread([&] {
    for (uint32_t n = 0; n < kRingRecords + 100; ++n) {
      PushRecord(shared.get(), Numbered(n));
    }
  });
  EXPECT_EQ(reader.FullestRing(), kRingRecords);
  std::string taken;
  EXPECT_EQ(reader.TakeRecords(1000000, &taken), kRingRecords);
  EXPECT_EQ(reader.events_dropped(), 100u);
  EXPECT_EQ(Records(taken).back().bytes, kRingRecords - 1);
  EXPECT_EQ(reader.TakeRecords(1000000, &taken), 0u);
}

TEST(Ring, ConcurrentWritersLoseNothingThatIsNotCounted) {
  auto shared = Memory();
  Reader reader(shared.get());
  constexpr int64_t kEach = 100000;
  constexpr uint64_t kWriters = kRings + 3;  // more than there are rings
  std::atomic<int> running{kWriters};
  std::vector<std::thread> writers;
  for (uint64_t writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      for (int64_t n = 0; n < kEach; ++n) {
        PushRecord(shared.get(), Numbered(n, writer));
      }
      --running;
    });
  }
  std::map<uint64_t, int64_t> newest;
  size_t taken = 0;
  for (bool last = false;;) {
    std::string bytes;
    const size_t got = reader.TakeRecords(4096, &bytes);
    taken += CheckOrder(bytes, &newest);
    if (last && got == 0) break;
    last = running.load() == 0;
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(taken + reader.events_dropped(), kEach * kWriters);
  EXPECT_GE(taken, size_t{kRingRecords});  // if all writers came first
}

TEST(Ring, ARingGoesToTheNextThreadWhenItsOwnerEnds) {
  auto shared = Memory();
  Reader reader(shared.get());
  for (uint64_t thread = 0; thread < 3 * kRings; ++thread) {
    InThread([&] { PushRecord(shared.get(), Numbered(1, thread)); });
  }
  std::string taken;
  EXPECT_EQ(reader.TakeRecords(1000, &taken), 3u * kRings);
  EXPECT_EQ(reader.events_dropped(), 0u);
  for (const EventRing& ring : shared->rings) EXPECT_EQ(ring.owner.load(), 0u);
}

TEST(Ring, AForkedChildThatEndsLeavesItsParentsRingAlone) {
  auto shared = Memory();
  InThread([&] {
    PushRecord(shared.get(), Numbered(0));
    const uint32_t owner = shared->rings[0].owner.load();
    const pid_t child = fork();
    if (child == 0) {
      ring_internal::Release();  // what the end of its thread does
      // The memory is a copy here: the claim itself is looked at.
      _exit(shared->rings[0].owner.load() == owner ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(owner, ThreadId());
  });
}

TEST(Ring, NoRingStarvesAtASmallMaximum) {
  auto shared = Memory();
  Reader reader(shared.get());
  for (EventRing& ring : shared->rings) {
    for (uint64_t n = 0; n < 100; ++n) {
      ring.record[n] = Numbered(static_cast<int64_t>(n));
      ring.record[n].stream = static_cast<uint64_t>(&ring - shared->rings);
    }
    ring.written.store(100);
  }
  std::map<uint64_t, int64_t> newest;
  for (uint32_t look = 0; look < kRings; ++look) {
    std::string taken;
    EXPECT_EQ(reader.TakeRecords(10, &taken), 10u);
    CheckOrder(taken, &newest);
  }
  EXPECT_EQ(newest.size(), kRings);
}

TEST(Steps, ComeOutInOrderAndAreCountedWhenTheyDoNotFit) {
  auto shared = Memory();
  Reader reader(shared.get());
  std::vector<StepTotalsPod> taken;
  StepTotalsPod totals = {};
  for (uint32_t n = 0; n < kStepSlots + 7; ++n) {
    totals.index = n;
    PushStepTotals(shared.get(), totals);
  }
  EXPECT_EQ(reader.TakeSteps(1000, &taken), 1000u);
  EXPECT_EQ(reader.TakeSteps(kStepSlots, &taken), kStepSlots - 1000u);
  for (uint32_t n = 0; n < kStepSlots; ++n) EXPECT_EQ(taken[n].index, n);
  EXPECT_EQ(reader.steps_dropped(), 7u);
  totals.index = 99999;
  PushStepTotals(shared.get(), totals);
  taken.clear();
  EXPECT_EQ(reader.TakeSteps(10, &taken), 1u);
  EXPECT_EQ(taken[0].index, 99999);
}

}  // namespace
}  // namespace invact
