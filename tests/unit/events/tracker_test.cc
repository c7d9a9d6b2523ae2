// The tracker on an allocator without a device, in one process after another:
// what is attached stays attached, so each case runs in a child of its own.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <random>
#include <thread>
#include <utility>

#include "plugin/events/allocator_hook.h"
#include "plugin/events/memory_events.h"
#include "plugin/log.h"
#include "plugin/observe/scope_stack.h"
#include "tests/unit/events/fake_allocator.h"

// What torch's interface names, and nothing here calls: no CUDA is linked.
extern "C" cudaError_t cudaMemGetInfo(size_t*, size_t*) {
  return cudaErrorNoDevice;
}
namespace c10::cuda {
void c10_cuda_check_implementation(const int32_t, const char*, const char*,
                                   const uint32_t, const bool) {
  abort();
}
}  // namespace c10::cuda

namespace invact {

// What the rest of the plugin would give.
constinit thread_local ScopeStack t_scopes = {};
int64_t MonotonicNs() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}
std::string g_said;
void SayTrouble(const std::string&, const std::string& text) noexcept {
  g_said += text + "\n";
}

void SayLine(const std::string& text) noexcept { g_said += text + "\n"; }

namespace {

int64_t Of(const MemoryAccount& account, MemoryCategory category) {
  return account.by_category()[static_cast<size_t>(category)];
}

// The account of the device is the allocator's own map, block by block.
void ExpectSame(FakeAllocator* allocator, int device) {
  std::map<uint64_t, std::pair<int64_t, bool>> ours, theirs;
  int64_t live = 0;
  for (const auto& [address, block] : allocator->Blocks(device)) {
    theirs[address] = {int64_t(block.requested), block.allocated};
    if (block.allocated) live += int64_t(block.requested);
  }
  EventsOfDevice(device)->Read([&](const MemoryAccount& account) {
    account.ForEachBlock([&](uint64_t address, const LiveBlock& block) {
      ours[address] = {block.bytes, !block.awaiting};
    });
    EXPECT_EQ(account.live_bytes(), live);
    EXPECT_EQ(account.reserved_bytes(), int64_t(FakeAllocator::kSegment));
    EXPECT_EQ(account.oddities().unknown_frees, 0);
    EXPECT_EQ(account.oddities().missed_frees, 0);
  });
  EXPECT_EQ(ours, theirs);
}

// Runs `body` in a child and passes its failures on.
template <typename F>
void InChild(F body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

void Attach(FakeAllocator* allocator, int devices) {
  WantMemoryEvents("");
  UseAllocator(allocator, devices);
  AttachMemoryEvents();
}

TEST(Tracker, TheBaselineIsWhatWasThereAndEventsFollowIt) {
  InChild([] {
    FakeAllocator allocator(2);
    const size_t early = allocator.Malloc(0, 1000);
    const size_t awaited = allocator.Malloc(0, 70);
    allocator.Release(0, awaited, /*other_stream=*/true);
    allocator.Malloc(1, 5);
    Attach(&allocator, 2);

    t_scopes.depth = 2;
    t_scopes.frames[1].scope = 9;
    const size_t late = allocator.Malloc(0, 2000);
    LabelMemory(0, reinterpret_cast<void*>(early), MemoryCategory::kParameter);
    allocator.Complete(0, awaited);

    ExpectSame(&allocator, 0);
    ExpectSame(&allocator, 1);
    EventsOfDevice(0)->Read([&](const MemoryAccount& account) {
      EXPECT_EQ(Of(account, MemoryCategory::kParameter), 1000);
      EXPECT_EQ(Of(account, MemoryCategory::kTemporary), 2000);
      account.ForEachBlock([&](uint64_t address, const LiveBlock& block) {
        EXPECT_EQ(block.scope, address == late ? 9u : kNoSite);
      });
    });
    EventsOfDevice(1)->Read([](const MemoryAccount& account) {
      EXPECT_EQ(Of(account, MemoryCategory::kUnknown), 5);
    });
    EXPECT_EQ(g_said, "");
  });
}

TEST(Tracker, WhatHappensWhileTheSnapshotIsReadIsNotLost) {
  InChild([] {
    FakeAllocator allocator(1);
    std::vector<size_t> blocks;
    for (int i = 0; i < 100; ++i) blocks.push_back(allocator.Malloc(0, 600));
    allocator.after_cut = [&] {
      std::thread([&] {
        for (int i = 0; i < 100; i += 2) {
          allocator.Release(0, blocks[size_t(i)]);
          allocator.Malloc(0, 100);  // often at the address that was freed
        }
      }).join();
    };
    Attach(&allocator, 1);
    ExpectSame(&allocator, 0);
  });
}

TEST(Tracker, TooMuchMeanwhileTakesAnotherSnapshot) {
  InChild([] {
    FakeAllocator allocator(1);
    allocator.after_cut = [&] {
      if (allocator.snapshots > 1) return;
      for (size_t i = 0; i <= DeviceEvents::kMostPending; ++i) {
        const size_t address = allocator.Malloc(0, 512);
        if (i % 100 != 0) allocator.Release(0, address);
      }
    };
    Attach(&allocator, 1);
    EXPECT_EQ(allocator.snapshots, 2);
    ExpectSame(&allocator, 0);
  });
}

TEST(Tracker, ThreadsAndMarksGiveTorchsNumbersAtEachMark) {
  InChild([] {
    FakeAllocator allocator(2);
    std::atomic<int> running{3};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(t);
        std::vector<std::pair<int, size_t>> mine;
        for (int i = 0; i < 30000; ++i) {
          if (mine.size() < 5 || (random() % 2 == 0 && mine.size() < 60)) {
            const int device = int(random() % 2);
            mine.emplace_back(device,
                              allocator.Malloc(device, 1 + random() % 4000));
          } else {
            std::swap(mine[random() % mine.size()], mine.back());
            const auto [device, address] = mine.back();
            mine.pop_back();
            const bool other = random() % 3 == 0;
            allocator.Release(device, address, other);
            if (other) allocator.Complete(device, address);
          }
        }
        running.fetch_sub(1);
      });
    }
    Attach(&allocator, 2);
    int step = 0;
    for (; running.load() > 0; ++step) {
      MarkMemory(EventKind::kStepBegin, step);
      MarkMemory(EventKind::kBackwardBegin, step);
      MarkMemory(EventKind::kStepEnd, step);
    }
    for (std::thread& thread : threads) thread.join();
    MarkMemory(EventKind::kStepBegin, step);
    for (int device = 0; device < 2; ++device) {
      ExpectSame(&allocator, device);
      EventsOfDevice(device)->Read([&](const MemoryAccount& account) {
        EXPECT_EQ(account.oddities().mismatches, 0);
        EXPECT_EQ(account.step().step, step);
        EXPECT_NE(account.reconciled().allocated, kUnknown);
      });
    }
    EXPECT_EQ(allocator.snapshots, 1);
    EXPECT_EQ(g_said, "");
  });
}

TEST(Tracker, WhatTorchDidNotTellIsFoundAtTheNextMark) {
  InChild([] {
    FakeAllocator allocator(1);
    const size_t known = allocator.Malloc(0, 100);
    Attach(&allocator, 1);
    LabelMemory(0, reinterpret_cast<void*>(known), MemoryCategory::kParameter);
    allocator.Malloc(0, 7777, /*traced=*/false);

    MarkMemory(EventKind::kStepBegin, 0);

    ExpectSame(&allocator, 0);
    EventsOfDevice(0)->Read([](const MemoryAccount& account) {
      EXPECT_EQ(account.oddities().mismatches, 1);
      EXPECT_EQ(Of(account, MemoryCategory::kUnknown), 7777);
      EXPECT_EQ(Of(account, MemoryCategory::kParameter), 100);
    });
    for (int i = 0; i < 20; ++i) {
      allocator.Malloc(0, 1, /*traced=*/false);
      MarkMemory(EventKind::kStepEnd, i);
    }
    EXPECT_NE(g_said.find("again and again"), std::string::npos) << g_said;
    EXPECT_FALSE(MemoryEventsWanted());
  });
}

TEST(Tracker, AnOutOfMemoryIsNotedWithWhatTheDeviceHadLeft) {
  InChild([] {
    FakeAllocator allocator(1);
    allocator.Malloc(0, 3000);
    Attach(&allocator, 1);
    allocator.OutOfMemory(0, 1 << 30, 4096);
    EventsOfDevice(0)->Read([](const MemoryAccount& account) {
      EXPECT_EQ(account.out_of_memory().asked, 1 << 30);
      EXPECT_EQ(account.out_of_memory().device_free, 4096);
      EXPECT_EQ(account.out_of_memory().live, 3000);
    });
    FinishMemoryEvents({}, /*say_peaks=*/true);
    EXPECT_NE(g_said.find("device 0: out of memory"), std::string::npos);
    EXPECT_NE(g_said.find("device 0: peak of 2.9 KiB"), std::string::npos);
  });
}

// What the records say is alive on the device, as a daemon adds them up: levels
// in place of sums. -1: not known, levels are still to come.
int64_t ToldAlive(const SharedRun& shared, int device) {
  std::map<std::pair<uint32_t, uint8_t>, int64_t> shares;
  bool known = true;
  const MemoryRecordRing& ring = shared.memory_records;
  for (uint64_t at = 0; at < ring.written; ++at) {
    const MemoryRecord& one = ring.record[at];
    const auto kind = static_cast<EventKind>(one.kind);
    if (kind == EventKind::kGap) known = false;
    if (one.device != device || one.category == kReservedBytes) continue;
    if (kind == EventKind::kLevels) known = true;
    int64_t& share = shares[{one.scope, one.category}];
    if (kind != EventKind::kLevel) {
      share += one.bytes;
    } else if (one.site == kNoMemoryPlace) {
      share = one.bytes;
    }
  }
  int64_t sum = 0;
  for (const auto& [who, bytes] : shares) sum += bytes;
  return known ? sum : -1;
}

TEST(Tracker, WithAStoreTheChangesTellWhatTheAllocatorHas) {
  InChild([] {
    FakeAllocator allocator(2);
    allocator.Malloc(0, 1000);
    allocator.Malloc(1, 70);
    const auto shared = std::make_unique<SharedRun>();
    WantMemoryEvents("", /*store=*/true);
    UseAllocator(&allocator, 2);
    AttachMemoryEvents();
    EXPECT_EQ(shared->memory_records.written, 0u) << "no run yet";

    ShareMemoryEvents(shared.get());
    const size_t block = allocator.Malloc(0, 500);
    EXPECT_EQ(ToldAlive(*shared, 0), -1);
    MarkMemory(EventKind::kStepBegin, 4);
    EXPECT_EQ(ToldAlive(*shared, 0), 1500);
    EXPECT_EQ(ToldAlive(*shared, 1), 70);

    LabelMemory(0, reinterpret_cast<void*>(block), MemoryCategory::kActivation,
                7, 3);
    allocator.Malloc(1, 30);
    allocator.Release(0, block, /*other_stream=*/true);
    EXPECT_EQ(ToldAlive(*shared, 0), 1000);
    EXPECT_EQ(ToldAlive(*shared, 1), 100);
    const MemoryRecordRing& ring = shared->memory_records;
    const MemoryRecord& last = ring.record[ring.written - 1];
    EXPECT_EQ(last.bytes, -500);
    EXPECT_EQ(last.address, block);
    EXPECT_EQ(last.scope, 7u);
    EXPECT_EQ(last.site, 3u);
    EXPECT_EQ(last.step, 4u);
    EXPECT_EQ(last.category, uint8_t(MemoryCategory::kActivation));
  });
}

TEST(Tracker, AnotherAllocatorIsSaidAndLeftAlone) {
  InChild([] {
    FakeAllocator allocator(1);
    allocator.name_ = "cudaMallocAsync";
    Attach(&allocator, 1);
    EXPECT_NE(g_said.find("cudaMallocAsync does not tell"), std::string::npos)
        << g_said;
    EXPECT_EQ(allocator.snapshots, 0);
    EXPECT_FALSE(MemoryEventsWanted());
  });
}

}  // namespace
}  // namespace invact
