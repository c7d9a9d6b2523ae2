// The account of one device against a reference that shares nothing with it: it
// keeps every block in a plain map, adds everything up anew after each event,
// and copies the whole map at each peak.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <utility>

#include "plugin/events/memory_account.h"
#include "tests/unit/events/events.h"

namespace invact {
namespace {

using enum EventKind;
using Use = MemoryCategory;

struct Block {
  int64_t bytes;
  uint32_t scope;
  MemoryCategory category;
  bool awaiting;
  bool in_optimizer;
};
using Blocks = std::map<uint64_t, Block>;
using Shared = std::map<std::pair<uint32_t, MemoryCategory>, int64_t>;

Shared SharesOf(const Blocks& blocks) {
  Shared out;
  for (const auto& [address, block] : blocks) {
    if (!block.awaiting) out[{block.scope, block.category}] += block.bytes;
  }
  return out;
}

int64_t Sum(const Shared& shares) {
  int64_t sum = 0;
  for (const auto& [who, bytes] : shares) sum += bytes;
  return sum;
}

class Reference {
 public:
  void Alloc(uint64_t address, int64_t bytes, uint32_t scope) {
    blocks[address] = {bytes, scope, Use::kTemporary, false, optimizer};
  }
  void Label(uint64_t address, MemoryCategory category, uint32_t scope) {
    const auto at = blocks.find(address);
    if (at == blocks.end() || at->second.awaiting) return;
    Block& block = at->second;
    if (block.category == category || block.category == Use::kParameter) return;
    block.category = category;
    if (scope != kNoSite) block.scope = scope;
  }
  void Survivors(bool of_optimizer, MemoryCategory to) {
    for (auto& [address, block] : blocks) {
      if (block.category == Use::kTemporary && !block.awaiting &&
          (!of_optimizer || block.in_optimizer)) {
        block.category = to;
      }
    }
  }
  void AfterEvent() {
    const Shared now = SharesOf(blocks);
    if (Sum(now) > peak) {
      peak = Sum(now);
      at_peak = now;
    }
    peak_reserved = std::max(peak_reserved, reserved);
  }

  Blocks blocks;
  bool optimizer = false;
  int64_t reserved = 0, peak_reserved = 0, peak = 0;
  Shared at_peak;
};

Shared Listed(const MemoryAccount& account, bool at_peak) {
  Shared out;
  for (const MemoryHolder& one : account.Holders(at_peak, size_t{1} << 20)) {
    out[{one.scope, one.category}] += one.bytes;
  }
  return out;
}

// Adds up what it is told.
class Summing final : public ChangeSink {
 public:
  void OnChanges(const MemoryRecord* records, size_t count) noexcept override {
    for (size_t i = 0; i < count; ++i) {
      const MemoryRecord& one = records[i];
      whole = one.more == 0;
      if (one.category == kReservedBytes) {
        reserved += one.bytes;
        continue;
      }
      int64_t& sum = sums[{one.scope, static_cast<Use>(one.category)}];
      sum += one.bytes;
      if (sum == 0) sums.erase({one.scope, static_cast<Use>(one.category)});
    }
  }
  void OnMissed() noexcept override { ++missed; }

  Shared sums;
  int64_t reserved = 0;
  int missed = 0;
  bool whole = true;
};

class RandomHistory : public testing::TestWithParam<unsigned> {
 protected:
  int64_t Draw(int64_t below) {
    return std::uniform_int_distribution<int64_t>(0, below - 1)(random_);
  }
  // One of few: most addresses come back.
  uint64_t Address() { return 0x7f0000000000 + 512 * uint64_t(Draw(300)); }
  uint32_t Scope() { return Draw(5) == 0 ? kNoSite : uint32_t(Draw(9)); }

  void OneEvent() {
    const uint64_t address = Address();
    const auto at = reference_.blocks.find(address);
    switch (Draw(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5: {
        if (at != reference_.blocks.end()) return Release(address);
        const int64_t bytes = 1 + Draw(1 << 20);
        const uint32_t scope = Scope();
        reference_.Alloc(address, bytes, scope);
        return account_.OnEvent(EventOf{kAlloc, address, bytes, scope});
      }
      case 6:
      case 7:
      case 8:
        return Release(address);
      case 9:
      case 10: {
        const MemoryCategory categories[] = {Use::kParameter, Use::kGradient,
                                             Use::kInput, Use::kActivation,
                                             Use::kWeightCopy};
        const MemoryCategory category = categories[Draw(5)];
        const uint32_t scope = Scope();
        reference_.Label(address, category, scope);
        return account_.OnEvent(EventOf{.kind = kLabel,
                                        .address = address,
                                        .site = scope,
                                        .category = category});
      }
      case 11: {
        const int64_t bytes = 2 << 20;
        const bool map = reference_.reserved == 0 || Draw(2) == 0;
        reference_.reserved += map ? bytes : -bytes;
        return account_.OnEvent(
            EventOf{map ? kSegmentMap : kSegmentUnmap, address, bytes});
      }
      case 12:
        if (Draw(20) == 0) StepBegins();
        return;
      case 13:
        if (Draw(10) == 0) Baseline();
        return;
      case 14:
        reference_.optimizer = !reference_.optimizer;
        if (!reference_.optimizer) {
          reference_.Survivors(true, Use::kOptimizerState);
        }
        return account_.OnEvent(EventOf{
            .kind = reference_.optimizer ? kOptimizerBegin : kOptimizerEnd});
      default:
        return account_.OnEvent(EventOf{.kind = kOom, .bytes = 1});
    }
  }

  void Release(uint64_t address) {
    const auto at = reference_.blocks.find(address);
    if (at == reference_.blocks.end()) return;
    const int64_t bytes = at->second.bytes;
    if (!at->second.awaiting) {
      at->second.awaiting = true;
      account_.OnEvent(EventOf{kFree, address, bytes});
      if (Draw(4) == 0) return;  // recorded on another stream
    }
    reference_.blocks.erase(address);
    account_.OnEvent(EventOf{kFreeCompleted, address, bytes});
  }

  // Events were lost: some blocks are not what the account believes.
  void Baseline() {
    for (int i = 0; i < 3; ++i) {
      const uint64_t address = Address();
      reference_.blocks.erase(address);
      if (Draw(2) == 0) {
        reference_.blocks[address] = {1 + Draw(1 << 20), kNoSite, Use::kUnknown,
                                      Draw(3) == 0, false};
      }
    }
    ++baselines_;
    account_.OnEvent(EventOf{.kind = kBaselineBegin});
    account_.OnEvent(EventOf{kBaselineSegment, 0, reference_.reserved});
    for (const auto& [address, block] : reference_.blocks) {
      account_.OnEvent(
          EventOf{block.awaiting ? kBaselineAwaiting : kBaselineBlock, address,
                  block.bytes});
    }
    account_.OnEvent(EventOf{.kind = kBaselineEnd});
  }

  void StepBegins() {
    if (reference_.optimizer) return;
    reference_.Survivors(false, Use::kOther);
    account_.OnEvent(EventOf{.kind = kStepBegin, .step = ++step_});
    EXPECT_EQ(account_.last().peak_bytes, reference_.peak);
    reference_.peak = -1;
    reference_.peak_reserved = 0;
  }

  MemoryAccount account_;
  Reference reference_;
  std::mt19937 random_{GetParam()};
  uint32_t step_ = 0;
  int baselines_ = 0;
};

TEST_P(RandomHistory, ToldChangesAddUpToAPlainRecount) {
  Summing told;
  account_.TellChangesTo(&told);
  for (int i = 0; i < 6000; ++i) {
    OneEvent();
    reference_.AfterEvent();

    ASSERT_EQ(told.sums, SharesOf(reference_.blocks)) << i;
    ASSERT_EQ(told.reserved, reference_.reserved) << i;
    ASSERT_TRUE(told.whole) << i;
    Shared levels;
    account_.ForEachLevel(
        [&](uint32_t scope, uint32_t site, Use category, int64_t bytes) {
          EXPECT_EQ(site, kNoSite);
          if (bytes != 0) levels[{scope, category}] = bytes;
        });
    ASSERT_EQ(levels, told.sums) << i;
  }
  EXPECT_EQ(told.missed, std::max(0, baselines_ - 1));
}

TEST_P(RandomHistory, EveryNumberIsThatOfAPlainRecount) {
  for (int i = 0; i < 6000; ++i) {
    OneEvent();
    reference_.AfterEvent();

    const Shared now = SharesOf(reference_.blocks);
    ASSERT_EQ(account_.live_bytes(), Sum(now)) << i;
    ASSERT_EQ(account_.reserved_bytes(), reference_.reserved) << i;
    int64_t awaiting = 0;
    for (const auto& [address, block] : reference_.blocks) {
      if (block.awaiting) awaiting += block.bytes;
    }
    ASSERT_EQ(account_.awaiting_bytes(), awaiting) << i;
    if (i % 16 != 0) continue;
    ASSERT_EQ(Listed(account_, false), now) << i;
    const StepMemory row = account_.step();
    ASSERT_EQ(row.peak_bytes, reference_.peak) << i;
    ASSERT_EQ(row.peak_reserved, reference_.peak_reserved) << i;
    ASSERT_EQ(Listed(account_, true), reference_.at_peak) << i;
    size_t blocks = 0;
    account_.ForEachBlock([&](uint64_t address, const LiveBlock& block) {
      ++blocks;
      const auto at = reference_.blocks.find(address);
      ASSERT_NE(at, reference_.blocks.end());
      ASSERT_EQ(block.bytes, at->second.bytes);
      ASSERT_EQ(block.category, at->second.category);
    });
    ASSERT_EQ(blocks, reference_.blocks.size());
  }
  EXPECT_EQ(account_.oddities().unknown_frees, 0);
  EXPECT_EQ(account_.oddities().missed_frees, 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomHistory, testing::Range(1u, 9u));

}  // namespace
}  // namespace invact
