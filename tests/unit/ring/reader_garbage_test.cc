// Whatever the memory holds, the reader neither crashes nor loops, and what it
// gives out is within the bounds that the daemon checks.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "plugin/ring/reader.h"

namespace invact {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 56;

// RFC 3629, written down once more, without the reader's code.
bool IsUtf8(const std::string& text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t at) -> uint32_t {
      return at < text.size() ? static_cast<uint8_t>(text[at]) : 0;
    };
    uint32_t code = byte(i);
    size_t more = 0;
    uint32_t least = 1;
    if (code >= 0xf0 && code < 0xf8) {
      code &= 0x07, more = 3, least = 0x10000;
    } else if (code >= 0xe0) {
      code &= 0x0f, more = 2, least = 0x800;
    } else if (code >= 0xc0) {
      code &= 0x1f, more = 1, least = 0x80;
    } else if (code >= 0x80) {
      return false;
    }
    for (size_t k = 1; k <= more; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
      code = code << 6 | (byte(i + k) & 0x3f);
    }
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
      return false;
    }
    i += more + 1;
  }
  return true;
}

void ExpectText(const std::string& text, size_t limit) {
  EXPECT_LE(text.size(), limit);
  EXPECT_TRUE(IsUtf8(text));
}

void ExpectTotals(const StepTotalsPod& totals) {
  EXPECT_GE(totals.index, 0);
  EXPECT_LE(totals.phase, static_cast<uint32_t>(Phase::kDone));
  for (int64_t bytes : {totals.baseline_bytes, totals.held_bytes,
                        totals.side_bytes, totals.saved_tensors}) {
    EXPECT_GE(bytes, 0);
    EXPECT_LE(bytes, kMostBytes);
  }
  EXPECT_LE(std::abs(totals.eliminated_at_peak), kMostBytes);
  EXPECT_TRUE(std::isfinite(totals.device_step_seconds));
}

void ReadAll(SharedRun* shared) {
  Reader reader(shared);
  const RunView info = reader.Info();
  ExpectText(info.name, 256);
  ExpectText(info.host, 256);
  EXPECT_TRUE(info.run_id.empty() || info.run_id.size() == 16);
  EXPECT_GE(info.pid, 1);
  EXPECT_GE(info.rank, 0);
  EXPECT_GE(info.started_wall_ns, 0);
  ExpectText(reader.Device(), 256);
  EXPECT_LE(reader.Warnings().size(), 32u);
  for (const std::string& text : reader.Warnings()) ExpectText(text, 4096);
  OomView oom;
  if (reader.Oom(&oom)) {
    ExpectText(oom.layer, 4096);
    EXPECT_GE(oom.requested_bytes, 0);
  }
  EXPECT_LE(reader.FullestRing(), kRingRecords);
  // Bounded, however far the counters claim to be ahead.
  size_t records = 0;
  for (int look = 0; look < 100; ++look) {
    std::string bytes;
    records += reader.TakeRecords(16384, &bytes);
    EXPECT_EQ(bytes.size() % sizeof(Record), 0u);
  }
  EXPECT_LE(records, size_t{kRings} * kRingRecords);
  std::vector<StepTotalsPod> steps;
  for (int look = 0; look < 10; ++look) reader.TakeSteps(4096, &steps);
  EXPECT_LE(steps.size(), kStepSlots);
  for (const StepTotalsPod& step : steps) ExpectTotals(step);

  ASSERT_LE(reader.scope_count(), kMaxScopes);
  ASSERT_LE(reader.site_count(), kMaxSites);
  for (uint32_t n = 0; n < reader.scope_count(); ++n) {
    ExpectText(reader.Scope(n).name, 4096);
  }
  for (uint32_t n = 0; n < reader.site_count(); ++n) {
    const SiteView site = reader.Site(n);
    ExpectText(site.op, 256);
    ExpectText(site.dtype, 64);
    EXPECT_LT(site.category, Category::kCount);
  }
  std::vector<DigestRecord> digests;
  for (int look = 0; look < 10; ++look) reader.TakeDigests(32768, &digests);
  EXPECT_LE(digests.size(), kDigestSlots);
  for (const DigestRecord& digest : digests) EXPECT_GE(digest.step, 0);
  std::vector<MemoryRowPod> rows;
  for (int look = 0; look < 10; ++look) reader.TakeMemoryRows(4096, &rows);
  EXPECT_LE(rows.size(), kMemoryRowSlots);
  for (const MemoryRowPod& row : rows) {
    EXPECT_GE(row.step, -1);
    EXPECT_GE(row.device, 0);
    EXPECT_LE(row.holders, kMemoryHolders);
    EXPECT_GE(row.peak.awaiting, 0);
    for (const int64_t bytes : row.peak.bytes) EXPECT_LE(bytes, 1l << 56);
  }
  std::string changes;
  size_t taken = 0;
  for (int look = 0; look < 100; ++look) {
    taken += reader.TakeMemoryRecords(kMostMemoryRecords, &changes);
  }
  EXPECT_LE(taken, kMemoryRecordSlots);
  ASSERT_EQ(changes.size(), taken * sizeof(MemoryRecord));
  for (size_t at = 0; at < changes.size(); at += sizeof(MemoryRecord)) {
    MemoryRecord one;
    std::memcpy(&one, changes.data() + at, sizeof(one));
    const bool gap = one.kind == static_cast<uint8_t>(EventKind::kGap);
    ASSERT_LT(one.time_ns, uint64_t{1} << 62);
    ASSERT_LE(std::abs(one.bytes), int64_t{1} << 56);
    ASSERT_GE(one.bytes, gap ? 0 : -(int64_t{1} << 56));
    ASSERT_TRUE(one.scope < kMostMemoryPlaces || one.scope == kNoMemoryPlace);
    ASSERT_TRUE(one.site < kMostMemoryPlaces || one.site == kNoMemoryPlace);
    ASSERT_TRUE(one.category < kMostMemoryCategories ||
                one.category == kReservedBytes);
    ASSERT_GE(one.device, gap ? -1 : 0);
    ASSERT_LE(one.more, 1);
  }
  ASSERT_LE(reader.parameter_count(), kMaxLeaves);
  for (uint32_t n = 0; n < reader.parameter_count(); ++n) {
    ExpectText(reader.Parameter(n).name, 4096);
    ExpectText(reader.Parameter(n).type, 256);
  }
  ASSERT_LE(reader.kernel_count(), kMaxKernels);
  for (uint32_t n = 0; n < reader.kernel_count(); ++n) {
    uint64_t stamp = 0;
    KernelView kernel;
    if (!reader.Kernel(n, &stamp, &kernel)) continue;
    for (const std::string* text : {&kernel.op, &kernel.dtype, &kernel.device,
                                    &kernel.library, &kernel.detail}) {
      ExpectText(*text, 1000);
    }
    EXPECT_GE(kernel.side_bits, 0);
    EXPECT_LE(kernel.side_bits, 64);
    for (double error :
         {kernel.stated_max, kernel.stated_rms, kernel.floor_max,
          kernel.floor_rms, kernel.error_max, kernel.error_rms}) {
      EXPECT_TRUE(std::isfinite(error) && (error >= 0 || error == -1));
    }
  }
  for (int which = 0; which < 3; ++which) {
    uint64_t stamp = 0;
    TableView table;
    if (which == 0   ? reader.LastTable(&stamp, &table)
        : which == 1 ? reader.MaxTable(&stamp, &table)
                     : reader.LiveTable(&table)) {
      ExpectTotals(table.totals);
      EXPECT_LE(table.rows.size(), kMaxSites);
      for (const auto& [site, row] : table.rows) {
        EXPECT_GE(row.baseline_bytes, 0);
        EXPECT_LE(row.held_bytes, kMostBytes);
      }
    }
  }
  for (const auto& sums : {reader.LastScopes(), reader.LiveScopes()}) {
    for (const ScopeSums& scope : sums) {
      EXPECT_GE(scope.input_bytes, 0);
      EXPECT_GE(scope.forward_ns, 0);
    }
  }
  reader.finished();
  reader.exit_code();
  EXPECT_GE(reader.ended_wall_ns(), 0);
}

// On the heap by itself, so that AddressSanitizer sees the first byte beyond.
std::unique_ptr<SharedRun> Random(uint64_t seed) {
  auto shared = std::make_unique<SharedRun>();
  std::mt19937_64 random(seed);
  auto* words = reinterpret_cast<uint64_t*>(shared.get());
  for (size_t i = 0; i < sizeof(SharedRun) / sizeof(uint64_t); ++i) {
    words[i] = random();
  }
  return shared;
}

TEST(Garbage, OfAnyKindIsRead) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(seed);
    ReadAll(Random(seed).get());
  }
}

TEST(Garbage, BehindPlausibleCountersIsRead) {
  auto shared = Random(9);
  Control& control = shared->control;
  control.scope_count.store(kMaxScopes);
  control.site_count.store(kMaxSites);
  control.parameter_count.store(kMaxLeaves);
  shared->digests.written.store(kDigestSlots);
  control.string_bytes.store(kStringBytes);
  control.warning_count.store(32);
  control.oom_seen.store(1);
  shared->last_slot.store(0);
  for (SiteTable* table :
       {&shared->last[0], &shared->max[0], &shared->max[1]}) {
    table->version.store(2);
    table->rows = kMaxSites + 1;
  }
  ReadAll(shared.get());
}

TEST(Garbage, OfAllOnesIsRead) {
  auto shared = std::make_unique<SharedRun>();
  std::memset(static_cast<void*>(shared.get()), 0xff, sizeof(SharedRun));
  ReadAll(shared.get());
}

TEST(Garbage, CountersThatRunBackwardsLoseWhatTheyClaimAndNoMore) {
  auto shared = std::make_unique<SharedRun>();
  Reader reader(shared.get());
  std::string bytes;
  shared->rings[0].written.store(100);
  EXPECT_EQ(reader.TakeRecords(1000, &bytes), 100u);
  shared->rings[0].written.store(50);
  EXPECT_EQ(reader.TakeRecords(1000, &bytes), 0u);
  shared->rings[0].written.store(60);
  EXPECT_EQ(reader.TakeRecords(1000, &bytes), 10u);
}

TEST(Text, IsCutAtACharacterAndMadeValid) {
  EXPECT_EQ(CleanText("plain", 100), "plain");
  EXPECT_EQ(CleanText("plain", 3), "pla");
  EXPECT_EQ(CleanText("\xc3\xa9\xc3\xa9", 3), "\xc3\xa9");
  EXPECT_EQ(CleanText(std::string("a\0b", 3), 10), "a?b");
  EXPECT_EQ(CleanText("\xff\xc3(", 10), "?\?(");
  EXPECT_EQ(CleanText("\xed\xa0\x80", 10), "???");  // a surrogate
  EXPECT_EQ(CleanText("\xf0\x9f\x98\x80", 10), "\xf0\x9f\x98\x80");
}

}  // namespace
}  // namespace invact
