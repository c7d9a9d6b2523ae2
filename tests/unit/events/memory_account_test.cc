// The account of one device against what was written down by hand. Random
// histories are in memory_account_random_test.cc.
#include "plugin/events/memory_account.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/events/events.h"

namespace invact {
namespace {

using enum EventKind;
using Use = MemoryCategory;

constexpr uint64_t kA = 0x7f0000000000, kB = 0x7f0000010000,
                   kC = 0x7f0000020000;

int64_t Of(const ByCategory& bytes, MemoryCategory category) {
  return bytes[static_cast<size_t>(category)];
}

void Feed(MemoryAccount* account, std::initializer_list<EventOf> events) {
  for (const EventOf& event : events) account->OnEvent(event);
}

TEST(MemoryAccount, AnAddressUsedAgainIsANewBlock) {
  MemoryAccount account;
  Feed(&account, {{kAlloc, kA, 1000, 3},
                  {.kind = kLabel, .address = kA, .category = Use::kActivation},
                  {kFree, kA, 1000},
                  {kFreeCompleted, kA, 1000},
                  {kAlloc, kA, 70, 4}});

  EXPECT_EQ(account.live_bytes(), 70);
  EXPECT_EQ(Of(account.by_category(), Use::kTemporary), 70);
  EXPECT_EQ(Of(account.by_category(), Use::kActivation), 0);
  EXPECT_EQ(account.oddities().missed_frees, 0);
}

TEST(MemoryAccount, ABlockThatAnotherStreamUsesAwaitsItsFree) {
  MemoryAccount account;
  Feed(&account, {{kAlloc, kA, 512}, {kFree, kA, 512}});
  EXPECT_EQ(account.live_bytes(), 0);
  EXPECT_EQ(account.awaiting_bytes(), 512);
  Feed(&account, {{kFreeCompleted, kA, 512}});
  EXPECT_EQ(account.awaiting_bytes(), 0);
  EXPECT_EQ(account.oddities().unknown_frees, 0);
}

TEST(MemoryAccount, FreesOfNothingAreCountedAndChangeNothing) {
  MemoryAccount account;
  Feed(&account,
       {{kAlloc, kA, 100}, {kFree, kB, 900}, {kFreeCompleted, kC, 9}});
  EXPECT_EQ(account.live_bytes(), 100);
  EXPECT_EQ(account.oddities().unknown_frees, 2);
  Feed(&account, {{kFree, kA, 100}, {kFree, kA, 100}});
  EXPECT_EQ(account.live_bytes(), 0);
  EXPECT_EQ(account.awaiting_bytes(), 100);
  EXPECT_EQ(account.oddities().unknown_frees, 3);
}

TEST(MemoryAccount, ExpandableSegmentsReserveWhatIsMapped) {
  MemoryAccount account;
  constexpr int64_t kMib = 1 << 20;
  Feed(&account, {{kSegmentAlloc, kA, 20 * kMib},
                  {kSegmentMap, kB, 2 * kMib},
                  {kSegmentMap, kB + 2 * kMib, 40 * kMib},
                  // Unmapped ranges need not be those that were mapped.
                  {kSegmentUnmap, kB + kMib, 4 * kMib}});
  EXPECT_EQ(account.reserved_bytes(), 58 * kMib);
  EXPECT_EQ(account.step().peak_reserved, 62 * kMib);
  Feed(&account, {{kSegmentFree, kA, 20 * kMib}});
  EXPECT_EQ(account.reserved_bytes(), 38 * kMib);
}

TEST(MemoryAccount, APeakKeepsWhoWasAlive) {
  MemoryAccount account;
  Feed(
      &account,
      {{.kind = kStepBegin, .step = 7},
       {kAlloc, kA, 600, 1},
       {.kind = kLabel, .address = kA, .site = 2, .category = Use::kActivation},
       {kAlloc, kB, 500, 5},  // the peak
       {kFree, kB, 500},
       {kFreeCompleted, kB, 500},
       {kFree, kA, 600},
       {kFreeCompleted, kA, 600},
       {kAlloc, kC, 1000, 9},
       {.kind = kBackwardBegin, .step = 7}});

  const StepMemory row = account.step();
  EXPECT_EQ(row.step, 7);
  EXPECT_EQ(row.peak_bytes, 1100);
  EXPECT_EQ(row.peak_phase, MemoryPhase::kForward);
  EXPECT_EQ(Of(row.at_peak, Use::kActivation), 600);
  EXPECT_EQ(Of(row.at_peak, Use::kTemporary), 500);
  EXPECT_EQ(Of(row.backward.bytes, Use::kTemporary), 1000);
  EXPECT_EQ(Of(row.end.bytes, Use::kTemporary), kUnknown);
  const std::vector<MemoryHolder> holders = account.Holders(true);
  ASSERT_EQ(holders.size(), 2u);
  EXPECT_EQ(holders[0].scope, 2u);  // the layer that saved it
  EXPECT_EQ(holders[0].category, Use::kActivation);
  EXPECT_EQ(holders[1].scope, 5u);
  EXPECT_EQ(holders[1].bytes, 500);

  Feed(&account, {{.kind = kStepBegin, .step = 8}});
  EXPECT_EQ(account.last().peak_bytes, 1100);
  EXPECT_EQ(account.largest().step, 7);
  EXPECT_EQ(account.largest_holders()[0].bytes, 600);
  EXPECT_EQ(account.step().peak_bytes, 1000);
}

TEST(MemoryAccount, HoldersAreToldByCallSiteAndByLayer) {
  using By = MemoryAccount::HoldersBy;
  MemoryAccount account;
  Feed(&account, {{kAlloc, kA, 600, 5},
                  {kAlloc, kB, 500, 5},
                  {kAlloc, kC, 50, 2},
                  {.kind = kLabel,
                   .address = kA,
                   .site = 2,
                   .stream = 7 + 1,
                   .category = Use::kActivation},
                  {.kind = kLabel,
                   .address = kB,
                   .site = 2,
                   .stream = 9 + 1,
                   .category = Use::kActivation}});

  const std::vector<MemoryHolder> sites = account.Holders(false, 9, By::kSite);
  ASSERT_EQ(sites.size(), 3u);
  EXPECT_EQ(sites[0].site, 7u);
  EXPECT_EQ(sites[0].scope, 2u);
  EXPECT_EQ(sites[0].bytes, 600);
  EXPECT_EQ(sites[1].site, 9u);
  EXPECT_EQ(sites[2].site, kNoSite);
  EXPECT_EQ(sites[2].bytes, 50);
  const std::vector<MemoryHolder> layers = account.Holders(false);
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[0].scope, 2u);
  EXPECT_EQ(layers[0].bytes, 1100);

  // At the peak before the first step none was labelled yet.
  Feed(&account, {{.kind = kStepBegin, .step = 0}});
  EXPECT_EQ(account.last_holders().size(), 2u);
  Feed(&account, {{.kind = kStepBegin, .step = 1}});
  EXPECT_EQ(account.last_holders().size(), 3u);
  EXPECT_EQ(account.last_holders()[0].site, 7u);
}

TEST(MemoryAccount, WhatOutlivesAnOptimizersStepIsItsState) {
  MemoryAccount account;
  Feed(&account, {{.kind = kStepBegin},
                  {kAlloc, kA, 8},  // a loss that the job keeps
                  {.kind = kStepEnd},
                  {.kind = kOptimizerBegin},
                  {kAlloc, kB, 100},
                  {kAlloc, kC, 30},
                  {kFree, kC, 30},
                  {kFreeCompleted, kC, 30},
                  {.kind = kOptimizerEnd}});
  EXPECT_EQ(Of(account.by_category(), Use::kOptimizerState), 100);
  EXPECT_EQ(Of(account.by_category(), Use::kTemporary), 8);
  Feed(&account, {{.kind = kForwardBegin}});
  EXPECT_EQ(Of(account.by_category(), Use::kTemporary), 0);
  EXPECT_EQ(Of(account.by_category(), Use::kOther), 8);
  EXPECT_EQ(Of(account.by_category(), Use::kOptimizerState), 100);
}

TEST(MemoryAccount, ParametersStayParameters) {
  MemoryAccount account;
  Feed(&account,
       {{kAlloc, kA, 64},
        {.kind = kLabel, .address = kA, .category = Use::kParameter},
        {.kind = kLabel, .address = kA, .category = Use::kActivation},
        {.kind = kLabel, .address = kB, .category = Use::kParameter}});
  EXPECT_EQ(Of(account.by_category(), Use::kParameter), 64);
  EXPECT_EQ(account.oddities().unknown_labels, 1);
}

TEST(MemoryAccount, TorchsOwnNumbersGiveTheRounding) {
  MemoryAccount account;
  Feed(&account, {{kSegmentAlloc, kA, 2097152},
                  {kAlloc, kA, 1000},
                  {kAlloc, kB, 10},
                  {kFree, kB, 10},
                  {.kind = kStepBegin},
                  {.kind = kStepEnd},
                  {.kind = kAllocatorStats,
                   .address = 2097152,
                   .bytes = 1024,
                   .stream = 1010}});
  EXPECT_TRUE(account.reconciled().exact());
  EXPECT_EQ(account.step().end.torch.rounding, 24);
  EXPECT_EQ(account.step().backward.torch.allocated, kUnknown);
  Feed(
      &account,
      {{.kind = kAllocatorStats, .address = 0, .bytes = 1024, .stream = 1500}});
  EXPECT_EQ(account.reconciled().requested_off, 490);
  EXPECT_EQ(account.reconciled().reserved_off, -2097152);
  EXPECT_EQ(account.oddities().mismatches, 1);
}

TEST(MemoryAccount, ABaselineMidJobKeepsWhatIsKnownAndCorrectsTheRest) {
  MemoryAccount account;
  Feed(&account, {{.kind = kBaselineBegin},
                  {kBaselineSegment, kA, 4096},
                  {kBaselineBlock, kA, 100},
                  {kBaselineAwaiting, kB, 50},
                  {.kind = kBaselineEnd}});
  EXPECT_EQ(Of(account.by_category(), Use::kUnknown), 100);
  EXPECT_EQ(account.awaiting_bytes(), 50);
  EXPECT_EQ(account.reserved_bytes(), 4096);

  Feed(&account, {{.kind = kLabel, .address = kA, .category = Use::kParameter},
                  {kFreeCompleted, kB, 50},
                  {kAlloc, kB, 60},
                  {.kind = kBaselineBegin},
                  {kBaselineSegment, kA, 8192},
                  {kBaselineBlock, kA, 100},
                  {kBaselineBlock, kC, 33},
                  {.kind = kBaselineEnd}});
  EXPECT_EQ(account.live_bytes(), 133);
  EXPECT_EQ(Of(account.by_category(), Use::kParameter), 100);
  EXPECT_EQ(Of(account.by_category(), Use::kUnknown), 33);
  EXPECT_EQ(Of(account.by_category(), Use::kTemporary), 0);
  EXPECT_EQ(account.reserved_bytes(), 8192);
  EXPECT_EQ(account.oddities().corrected, 2);  // kC came, kB went
}

TEST(MemoryAccount, AnOutOfMemoryKeepsTheHolders) {
  MemoryAccount account;
  Feed(&account,
       {{.kind = kStepBegin, .step = 4},
        {kAlloc, kA, 900, 1},
        {kAlloc, kB, 1100, 2},
        {.kind = kOom, .bytes = 5000, .site = 2, .step = 4, .stream = 77},
        {kFree, kB, 1100},
        {.kind = kOom, .bytes = 1, .step = 4}});
  const OutOfMemoryNote& note = account.out_of_memory();
  EXPECT_EQ(note.asked, 5000);
  EXPECT_EQ(note.device_free, 77);
  EXPECT_EQ(note.live, 2000);
  EXPECT_EQ(note.step, 4);
  ASSERT_EQ(note.holders.size(), 2u);
  EXPECT_EQ(note.holders[0].bytes, 1100);
  EXPECT_EQ(account.step().out_of_memory, 2);
}

TEST(MemoryAccount, BlocksBeyondTheRoomAreCountedTogether) {
  MemoryAccount account(/*max_blocks=*/1);
  Feed(&account, {{kAlloc, kA, 10}, {kAlloc, kB, 20}, {kAlloc, kC, 30}});
  EXPECT_EQ(account.live_bytes(), 60);
  EXPECT_EQ(Of(account.by_category(), Use::kUnknown), 50);
  EXPECT_EQ(account.oddities().together, 2);
  Feed(&account, {{kFree, kC, 30}});
  EXPECT_EQ(account.live_bytes(), 30);
  EXPECT_EQ(account.awaiting_bytes(), 30);
  Feed(&account, {{kFreeCompleted, kC, 30}, {kFree, kB, 20}});
  EXPECT_EQ(account.live_bytes(), 10);
  EXPECT_EQ(account.awaiting_bytes(), 20);
  EXPECT_EQ(account.oddities().unknown_frees, 0);
}

}  // namespace
}  // namespace invact
