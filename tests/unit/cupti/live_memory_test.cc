#include "plugin/cupti/live_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "plugin/cupti/foreign.h"

namespace invact::cupti {
namespace {

constexpr uint64_t kRealtime = 1'700'000'000'000'000'000;

Activity Of(bool alive, uint64_t address, int64_t bytes, uint64_t time_ns,
            MemoryKind kind = MemoryKind::kDevice) {
  Activity activity;
  activity.alive = alive;
  activity.address = address;
  activity.bytes = bytes;
  activity.time_ns = time_ns;
  activity.kind = kind;
  activity.device = 0;
  return activity;
}

// Threads deliver late and in any order among themselves: what is alive at the
// end is what a plain map says that was fed in the true order.
TEST(LiveMemory, TheOrderOfArrivalDoesNotMatter) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    std::map<uint64_t, int64_t> truth;
    std::vector<Activity> history;
    for (uint64_t time = 1; time < 2000; ++time) {
      const uint64_t address = 0x1000 + random() % 40 * 0x100;
      const auto it = truth.find(address);
      if (it == truth.end()) {
        const auto bytes = int64_t(1 + random() % 1000);
        truth[address] = bytes;
        history.push_back(Of(true, address, bytes, kRealtime + time));
      } else {
        history.push_back(Of(false, address, it->second, kRealtime + time));
        truth.erase(it);
      }
    }
    // Delivered in batches that are shuffled, each within its own.
    for (size_t begin = 0; begin < history.size(); begin += 300) {
      const size_t end = std::min(begin + 300, history.size());
      std::shuffle(history.begin() + ptrdiff_t(begin),
                   history.begin() + ptrdiff_t(end), random);
    }
    LiveMemory live;
    for (const Activity& one : history) live.Enter(one, kNoLibrary);
    std::map<uint64_t, int64_t> ours;
    int64_t sum = 0;
    for (const LiveAllocation& one : live.DeviceAllocations(0)) {
      ours[one.address] = one.bytes;
      sum += one.bytes;
    }
    EXPECT_EQ(ours, truth) << seed;
    EXPECT_EQ(live.Of(0).device, sum) << seed;
  }
}

TEST(LiveMemory, WhereTheClockIsAnotherTheOrderOfArrivalCounts) {
  LiveMemory live;
  live.Enter(Of(true, 0x1000, 5, kRealtime + 100), kNoLibrary);
  live.Enter(Of(false, 0x1000, 5, 777), kNoLibrary);  // ticks of a processor
  EXPECT_EQ(live.Of(0).device, 0);
  live.Enter(Of(true, 0x1000, 9, 999), kNoLibrary);
  EXPECT_EQ(live.Of(0).device, 9);
}

TEST(LiveMemory, EachKindIsCountedForItself) {
  LiveMemory live;
  live.Enter(Of(true, 0x1000, 1, kRealtime, MemoryKind::kDevice), kNoLibrary);
  live.Enter(Of(true, 0x2000, 2, kRealtime, MemoryKind::kPinned), kNoLibrary);
  live.Enter(Of(true, 0x3000, 4, kRealtime, MemoryKind::kManaged), kNoLibrary);
  live.Enter(Of(true, 0x4000, 8, kRealtime, MemoryKind::kPageable), kNoLibrary);
  live.Enter(Of(true, 0x5000, 16, kRealtime, MemoryKind::kDeviceStatic),
             kNoLibrary);
  EXPECT_EQ(live.Of(0).device, 17);
  EXPECT_EQ(live.Of(0).pinned, 2);
  EXPECT_EQ(live.Of(0).managed, 4);
  EXPECT_EQ(live.Of(1).device, 0);
  Activity elsewhere = Of(true, 0x6000, 32, kRealtime);
  elsewhere.device = 99;
  EXPECT_FALSE(live.Enter(elsewhere, kNoLibrary));
}

TEST(LiveMemory, APoolCountsOnceWithTheSizeThatItHadLast) {
  LiveMemory live;
  const auto cut = [&](bool alive, uint64_t address, int64_t bytes,
                       int64_t pool, uint64_t time) {
    Activity activity = Of(alive, address, bytes, kRealtime + time);
    activity.is_async = true;
    activity.pool_address = 0x77;
    activity.pool_bytes = pool;
    live.Enter(activity, kNoLibrary);
  };
  cut(true, 0x1000, 10, 100, 1);
  cut(true, 0x2000, 20, 200, 3);
  cut(false, 0x1000, 10, 150, 2);  // late, and older
  EXPECT_EQ(live.Of(0).pools, 200);
  EXPECT_EQ(live.Of(0).in_pools, 20);
  EXPECT_EQ(live.Of(0).device, 0);
  EXPECT_TRUE(live.DeviceAllocations(0).empty());
  Activity gone;
  gone.pool = true;
  gone.pool_address = 0x77;
  gone.device = 0;
  gone.time_ns = kRealtime + 9;
  live.Enter(gone, kNoLibrary);
  EXPECT_EQ(live.Of(0).pools, 0);
}

TEST(LiveMemory, BeyondItsRoomBytesAreStillCounted) {
  LiveMemory live(10);
  for (uint64_t i = 1; i <= 15; ++i) {
    live.Enter(Of(true, i * 0x100, 1, kRealtime + i), kNoLibrary);
  }
  EXPECT_EQ(live.Of(0).device, 15);
  EXPECT_EQ(live.beyond(), 5);
  live.Enter(Of(false, 15 * 0x100, 1, kRealtime + 20), kNoLibrary);
  live.Enter(Of(false, 0x100, 1, kRealtime + 21), kNoLibrary);
  EXPECT_EQ(live.Of(0).device, 13);
  EXPECT_EQ(live.beyond(), 4);
}

TEST(LiveMemory, GoneAddressesAreForgottenInTheEnd) {
  LiveMemory live(LiveMemory::kRemembered + 100);
  for (uint64_t i = 1; i <= 4 * LiveMemory::kRemembered; ++i) {
    live.Enter(Of(true, i * 0x100, 1, kRealtime + 2 * i), kNoLibrary);
    live.Enter(Of(false, i * 0x100, 1, kRealtime + 2 * i + 1), kNoLibrary);
  }
  EXPECT_EQ(live.Of(0).device, 0);
  EXPECT_EQ(live.beyond(), 0);
}

// --- foreign
// ------------------------------------------------------------------

TEST(Foreign, WhatLiesInASegmentIsTorchs) {
  Segments segments;
  segments.Add(0x10000, 0x1000);
  segments.Add(0x30000, 0x2000);
  const Foreign foreign = ForeignOf({{0x10000, 0x1000, 0},
                                     {0x30000, 0x2000, 0},
                                     {0x20000, 50, 2},
                                     {0x11000, 7, 0}},
                                    segments.Ranges(), {}, kNoLibrary);
  EXPECT_EQ(foreign.matched, 0x3000);
  EXPECT_EQ(foreign.bytes, 57);
  EXPECT_EQ(foreign.assumed, 0);
  EXPECT_EQ(foreign.by_library, (std::map<uint16_t, int64_t>{{0, 7}, {2, 50}}));
}

TEST(Foreign, SegmentsFromBeforeAreNotExpected) {
  Segments segments;
  segments.Add(0x10000, 0x1000);
  const auto before = segments.Ranges();
  const Foreign foreign =
      ForeignOf({{0x90000, 70, 0}}, segments.Ranges(), before, kNoLibrary);
  EXPECT_EQ(foreign.bytes, 70);
  EXPECT_EQ(foreign.assumed, 0);
}

// Records of mapped memory may name a handle in place of the address.
TEST(Foreign, ASegmentWithoutARecordTakesWhatHasNoPlace) {
  Segments segments;
  segments.Add(0x10000, 0x1000);
  const Foreign foreign =
      ForeignOf({{0x7, 0x1000, 0}, {0x90000, 70, 0}, {0x95000, 5, 3}},
                segments.Ranges(), {}, kNoLibrary);
  EXPECT_EQ(foreign.assumed, 0x1000);
  EXPECT_EQ(foreign.bytes, 75);
  EXPECT_EQ(foreign.by_library, (std::map<uint16_t, int64_t>{{0, 70}, {3, 5}}));
}

TEST(Foreign, WithNamesTheAllocatorsOwnAreTorchs) {
  Segments segments;
  segments.Add(0x10000, 0x1000);
  const Foreign foreign =
      ForeignOf({{0x7, 0x1000, 4}, {0x8, 0x2000, 4}, {0x90000, 70, 0}},
                segments.Ranges(), {}, /*torchs=*/4);
  EXPECT_EQ(foreign.assumed, 0x3000);
  EXPECT_EQ(foreign.by_library, (std::map<uint16_t, int64_t>{{0, 70}}));
}

TEST(Segments, PartsAreTakenOutOfOneOrSeveral) {
  Segments segments;
  segments.Add(0x1000, 0x1000);
  segments.Add(0x2000, 0x1000);
  segments.Remove(0x1800, 0x1000);
  const auto ranges = segments.Ranges();
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].address, 0x1000u);
  EXPECT_EQ(ranges[0].bytes, 0x800);
  EXPECT_EQ(ranges[1].address, 0x2800u);
  EXPECT_EQ(ranges[1].bytes, 0x800);
  segments.Remove(0x2900, 0x100);
  EXPECT_EQ(segments.Ranges().size(), 3u);
  segments.Remove(0, 0x10000);
  EXPECT_TRUE(segments.Ranges().empty());
}

}  // namespace
}  // namespace invact::cupti
