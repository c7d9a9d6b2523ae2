// The ledger against a model that keeps every claim in a list and adds up from
// scratch, on random histories; and the ownership rules by hand.
#include "plugin/ledger/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

namespace invact {
namespace {

constexpr int kSites = 8;

struct Rows {
  std::vector<SiteRow> row = std::vector<SiteRow>(kMaxSites);
  int64_t Baseline() const {
    int64_t sum = 0;
    for (const SiteRow& r : row) sum += r.baseline_bytes;
    return sum;
  }
  int64_t Held() const {
    int64_t sum = 0;
    for (const SiteRow& r : row) sum += r.held_bytes;
    return sum;
  }
};

const void* Storage(uintptr_t n) {
  return reinterpret_cast<const void*>(0x10000 + n * 16);
}

TEST(Ledger, SharedStorageCountsOnceAndTheFirstSiteOwnsIt) {
  Rows rows;
  Ledger ledger(rows.row.data());

  ledger.Add(Storage(1), 400, Category::kActivation, 3, Claim::kBoth);
  StorageEntry* entry =
      ledger.Add(Storage(1), 400, Category::kActivation, 5, Claim::kBoth);

  EXPECT_EQ(ledger.baseline_bytes(), 400);
  EXPECT_EQ(ledger.held_bytes(), 400);
  EXPECT_EQ(rows.row[3].baseline_bytes, 400);
  EXPECT_EQ(rows.row[5].baseline_bytes, 0);

  ledger.Remove(entry, 3, Claim::kBoth);

  EXPECT_EQ(ledger.baseline_bytes(), 400);
  EXPECT_EQ(rows.row[3].baseline_bytes, 0);
  EXPECT_EQ(rows.row[5].baseline_bytes, 400);

  ledger.Remove(entry, 5, Claim::kBoth);

  EXPECT_EQ(ledger.baseline_bytes(), 0);
  EXPECT_EQ(ledger.held_bytes(), 0);
  EXPECT_EQ(ledger.storages(), 0u);
}

TEST(Ledger, InvertedActivationShowsItsGainInItsOwnRow) {
  // Site 0: x -> y with 1 bit an element; site 1: a Linear that saves y.
  Rows rows;
  Ledger ledger(rows.row.data());

  ledger.Add(Storage(1), 4096, Category::kActivation, 0, Claim::kAsked);
  ledger.Add(Storage(2), 4096, Category::kActivation, 0, Claim::kHeld);
  ledger.AddSide(0, 128);

  EXPECT_EQ(rows.row[0].held_bytes, 4096 + 128);

  ledger.Add(Storage(2), 4096, Category::kActivation, 1, Claim::kBoth);

  EXPECT_EQ(ledger.baseline_bytes(), 8192);
  EXPECT_EQ(ledger.held_bytes(), 4096 + 128);
  EXPECT_EQ(rows.row[0].baseline_bytes, 4096);
  EXPECT_EQ(rows.row[0].held_bytes, 128);
  EXPECT_EQ(rows.row[1].baseline_bytes, 4096);
  EXPECT_EQ(rows.row[1].held_bytes, 4096);
}

TEST(Ledger, InputKeptElsewhereGainsNothing) {
  // x is asked for by the substitution (0) and kept by another layer (1).
  Rows rows;
  Ledger ledger(rows.row.data());

  ledger.Add(Storage(1), 4096, Category::kActivation, 0, Claim::kAsked);
  ledger.Add(Storage(1), 4096, Category::kActivation, 1, Claim::kBoth);

  EXPECT_EQ(ledger.baseline_bytes() - ledger.held_bytes(), 0);
  EXPECT_EQ(rows.row[0].baseline_bytes, 0);
  EXPECT_EQ(rows.row[1].baseline_bytes, 4096);
  EXPECT_EQ(rows.row[1].held_bytes, 4096);
}

TEST(Ledger, ResizedStorageIsCorrectedAtItsNextSave) {
  Rows rows;
  Ledger ledger(rows.row.data());

  ledger.Add(Storage(1), 100, Category::kInput, 0, Claim::kBoth);
  ledger.Add(Storage(1), 300, Category::kInput, 1, Claim::kBoth);

  EXPECT_EQ(ledger.baseline_bytes(), 300);
  EXPECT_EQ(ledger.category_bytes(Category::kInput), 300);
  EXPECT_EQ(rows.Baseline(), 300);
}

TEST(Ledger, SizesAreAskedAnewForEveryStorage) {
  Rows rows;
  Ledger ledger(rows.row.data());
  ledger.Add(Storage(1), 100, Category::kInput, 0, Claim::kBoth);
  ledger.Add(Storage(2), 40, Category::kActivation, 1, Claim::kAsked);
  ledger.Add(Storage(3), 7, Category::kActivation, 2, Claim::kBoth);
  std::vector<int64_t> changed;

  ledger.Resize(
      [](const void* storage) -> int64_t {
        return storage == Storage(1) ? 0 : storage == Storage(2) ? 48 : 7;
      },
      [&](const StorageEntry& entry) { changed.push_back(entry.bytes); });

  EXPECT_THAT(changed, testing::UnorderedElementsAre(0, 48));
  EXPECT_EQ(ledger.baseline_bytes(), 48 + 7);
  EXPECT_EQ(ledger.held_bytes(), 7);
  EXPECT_EQ(ledger.category_bytes(Category::kInput), 0);
  EXPECT_EQ(rows.row[1].baseline_bytes, 48);
  EXPECT_EQ(rows.Baseline(), 55);
}

// One claim of a random history.
struct Made {
  StorageEntry* entry;
  uintptr_t storage;
  uint32_t site;
  Claim claim;
};

class RandomHistory : public testing::TestWithParam<int> {};

TEST_P(RandomHistory, TotalsAndRowsEqualAFreshSum) {
  std::mt19937 random(GetParam());
  Rows rows;
  Ledger ledger(rows.row.data());
  std::vector<Made> alive;
  int64_t side = 0;
  for (int i = 0; i < 4000; ++i) {
    if (alive.empty() || random() % 100 < 54) {
      Made made{nullptr, random() % 3000,
                static_cast<uint32_t>(random() % kSites),
                static_cast<Claim>(random() % 3)};
      // A storage's size is a function of its number.
      made.entry = ledger.Add(Storage(made.storage),
                              static_cast<int64_t>(made.storage) * 8 + 1,
                              Category::kActivation, made.site, made.claim);
      alive.push_back(made);
    } else {
      const size_t pick = random() % alive.size();
      ledger.Remove(alive[pick].entry, alive[pick].site, alive[pick].claim);
      alive[pick] = alive.back();
      alive.pop_back();
    }
    if (random() % 10 == 0) {
      ledger.AddSide(random() % kSites, 16);
      side += 16;
    }
    if (i % 37 != 0) continue;
    std::set<uintptr_t> asked, held;
    for (const Made& made : alive) {
      if (made.claim != Claim::kHeld) asked.insert(made.storage);
      if (made.claim != Claim::kAsked) held.insert(made.storage);
    }
    int64_t baseline = 0, kept = side;
    for (uintptr_t s : asked) baseline += static_cast<int64_t>(s) * 8 + 1;
    for (uintptr_t s : held) kept += static_cast<int64_t>(s) * 8 + 1;
    ASSERT_EQ(ledger.baseline_bytes(), baseline) << "after " << i;
    ASSERT_EQ(ledger.held_bytes(), kept) << "after " << i;
    ASSERT_EQ(rows.Baseline(), baseline) << "after " << i;
    ASSERT_EQ(rows.Held(), kept) << "after " << i;
  }
}

// A job whose tensors never come back to an address.
TEST(Ledger, ForgetsAddressesThatAreNotUsedAgain) {
  Rows rows;
  Ledger ledger(rows.row.data());
  std::set<StorageEntry*> entries;
  std::set<uint64_t> serials;

  for (uintptr_t n = 0; n < 5000; ++n) {
    StorageEntry* entry =
        ledger.Add(Storage(n), 8, Category::kActivation, 1, Claim::kBoth);
    entries.insert(entry);
    serials.insert(entry->serial);
    ledger.Remove(entry, 1, Claim::kBoth);
    ASSERT_EQ(ledger.Find(Storage(n)), nullptr);
    ASSERT_EQ(ledger.storages(), 0u);
  }

  EXPECT_LT(entries.size(), 100u);
  EXPECT_EQ(serials.size(), 5000u);
}

TEST(Ledger, AnAddressThatComesBackIsAnotherStorage) {
  Rows rows;
  Ledger ledger(rows.row.data());
  StorageEntry* first =
      ledger.Add(Storage(1), 8, Category::kInput, 1, Claim::kBoth);
  const uint64_t serial = first->serial;
  ledger.Remove(first, 1, Claim::kBoth);

  StorageEntry* second =
      ledger.Add(Storage(1), 24, Category::kActivation, 2, Claim::kAsked);

  EXPECT_NE(second->serial, serial);
  EXPECT_EQ(ledger.baseline_bytes(), 24);
  EXPECT_EQ(ledger.held_bytes(), 0);
  EXPECT_EQ(ledger.category_bytes(Category::kActivation), 24);
  EXPECT_EQ(ledger.category_bytes(Category::kInput), 0);
  EXPECT_EQ(rows.row[1].baseline_bytes, 0);
  EXPECT_EQ(rows.row[2].baseline_bytes, 24);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomHistory, testing::Range(1, 9));

}  // namespace
}  // namespace invact
