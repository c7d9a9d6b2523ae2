// Changes on their way into the ring: nothing waits, what is lost is told, and
// levels make it right again.
#include "plugin/events/memory_changes.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "plugin/events/memory_account.h"
#include "plugin/ring/ring_layout.h"
#include "tests/unit/events/events.h"

namespace invact {
namespace {

using enum EventKind;

class MemoryChangesTest : public testing::Test {
 protected:
  MemoryChangesTest() { account_.TellChangesTo(&changes_); }

  void Alloc(uint64_t number, int64_t bytes = 100) {
    account_.OnEvent(EventOf{kAlloc, number << 9, bytes, 3});
  }
  // What came since the last call, as a relay takes it.
  std::vector<MemoryRecord> Take() {
    MemoryRecordRing& ring = shared_->memory_records;
    std::vector<MemoryRecord> out;
    for (uint64_t at = ring.read; at < ring.written; ++at) {
      out.push_back(ring.record[at % kMemoryRecordSlots]);
    }
    ring.read.store(ring.written);
    return out;
  }
  static EventKind Kind(const MemoryRecord& record) {
    return static_cast<EventKind>(record.kind);
  }

  std::unique_ptr<SharedRun> shared_ = std::make_unique<SharedRun>();
  MemoryChanges changes_;
  MemoryAccount account_;
};

TEST_F(MemoryChangesTest, WithoutARunNothingIsTold) {
  Alloc(1);
  changes_.TellLevelsIfDue(0, 0, account_);
  EXPECT_EQ(shared_->memory_records.written, 0u);
}

TEST_F(MemoryChangesTest, ChangesAreToldAsTheyAreFromTheFirstOn) {
  changes_.ShareWith(shared_.get());
  Alloc(1, 1000);
  account_.OnEvent(EventOf{.kind = kLabel,
                           .address = 1 << 9,
                           .site = 5,
                           .stream = 8,
                           .category = MemoryCategory::kActivation});
  account_.OnEvent(EventOf{kFree, 1 << 9, 1000});
  changes_.TellLevelsIfDue(0, 0, account_);

  const std::vector<MemoryRecord> told = Take();
  ASSERT_EQ(told.size(), 4u);  // and no levels: nothing was lost
  const auto expect = [&](size_t place, EventKind kind, int64_t bytes,
                          uint32_t scope, uint32_t site,
                          MemoryCategory category, bool more) {
    SCOPED_TRACE(place);
    EXPECT_EQ(Kind(told[place]), kind);
    EXPECT_EQ(told[place].bytes, bytes);
    EXPECT_EQ(told[place].address, 1u << 9);
    EXPECT_EQ(told[place].scope, scope);
    EXPECT_EQ(told[place].site, site);
    EXPECT_EQ(told[place].category, static_cast<uint8_t>(category));
    EXPECT_EQ(told[place].more, more);
  };
  using enum MemoryCategory;
  expect(0, kAlloc, 1000, 3, kNoSite, kTemporary, false);
  expect(1, EventKind::kLabel, -1000, 3, kNoSite, kTemporary, true);
  expect(2, EventKind::kLabel, 1000, 5, 7, kActivation, false);
  expect(3, EventKind::kFree, -1000, 5, 7, kActivation, false);
}

TEST_F(MemoryChangesTest, WhatWasBeforeTheRunIsToldByLevels) {
  Alloc(1, 1000);
  changes_.ShareWith(shared_.get());
  Alloc(2, 50);
  changes_.TellLevelsIfDue(0, 0, account_);
  changes_.TellLevelsIfDue(0, 0, account_);

  const std::vector<MemoryRecord> told = Take();
  ASSERT_EQ(told.size(), 5u);
  EXPECT_EQ(Kind(told[0]), kGap);
  EXPECT_EQ(told[0].bytes, 0);
  EXPECT_EQ(told[0].device, kEveryDevice);
  EXPECT_EQ(told[1].bytes, 50);
  EXPECT_EQ(Kind(told[2]), kLevel);
  EXPECT_EQ(told[2].category, kReservedBytes);
  EXPECT_EQ(Kind(told[3]), kLevel);
  EXPECT_EQ(told[3].bytes, 1050);
  EXPECT_EQ(told[3].scope, 3u);
  EXPECT_EQ(Kind(told[4]), kLevels);
}

TEST_F(MemoryChangesTest, AFullRingDropsAndCountsAndLevelsMakeItRight) {
  changes_.ShareWith(shared_.get());
  const uint64_t most = kMemoryRecordSlots;
  for (uint64_t i = 1; i <= most + 1000; ++i) Alloc(i);
  EXPECT_EQ(shared_->memory_records.written, most);
  EXPECT_EQ(shared_->memory_records.dropped, 1000u);
  changes_.TellLevelsIfDue(0, 0, account_);  // no room for them either

  // A little room is not enough: a gap for each record would be no better.
  shared_->memory_records.read.store(10);
  Alloc(most + 2000);
  EXPECT_EQ(shared_->memory_records.written, most);
  Take();
  Alloc(most + 3000);
  changes_.TellLevelsIfDue(0, 0, account_);

  const std::vector<MemoryRecord> told = Take();
  ASSERT_EQ(told.size(), 5u);
  EXPECT_EQ(Kind(told[0]), kGap);
  EXPECT_EQ(told[0].bytes, 1001);
  EXPECT_EQ(shared_->memory_records.dropped, 1001u);
  EXPECT_EQ(Kind(told[1]), kAlloc);
  EXPECT_EQ(told[3].bytes, account_.live_bytes());
  EXPECT_EQ(told[3].bytes, static_cast<int64_t>(most + 1002) * 100);
  EXPECT_EQ(Kind(told[4]), kLevels);
}

TEST_F(MemoryChangesTest, LevelsAreToldNowAndThenWithoutALoss) {
  changes_.ShareWith(shared_.get());
  int levels = 0;
  for (uint64_t i = 0; i < 3 * MemoryChanges::kLevelsEvery; ++i) {
    if (i % 2 == 0) {
      Alloc(1);
    } else {
      account_.OnEvent(EventOf{kFree, 1 << 9, 100});
      account_.OnEvent(EventOf{kFreeCompleted, 1 << 9, 100});
    }
    if (i % 1024 != 0) continue;
    changes_.TellLevelsIfDue(0, 0, account_);
    for (const MemoryRecord& one : Take()) levels += Kind(one) == kLevels;
  }
  EXPECT_EQ(levels, 2);
}

TEST_F(MemoryChangesTest, ANewBaselineIsAGap) {
  changes_.ShareWith(shared_.get());
  const auto baseline = [&](int64_t bytes) {
    account_.OnEvent(EventOf{.kind = kBaselineBegin});
    account_.OnEvent(EventOf{kBaselineSegment, 0, 2 << 20});
    account_.OnEvent(EventOf{kBaselineBlock, 1 << 9, bytes});
    account_.OnEvent(EventOf{.kind = kBaselineEnd});
    return Take();
  };
  for (const MemoryRecord& one : baseline(1000)) EXPECT_NE(Kind(one), kGap);
  const std::vector<MemoryRecord> told = baseline(1500);
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(Kind(told[0]), kGap);
  int64_t sum = 1000;
  for (size_t i = 1; i < told.size(); ++i) sum += told[i].bytes;
  EXPECT_EQ(sum, 1500);
  changes_.TellLevelsIfDue(0, 0, account_);
  EXPECT_EQ(Kind(Take().back()), kLevels);
}

}  // namespace
}  // namespace invact
