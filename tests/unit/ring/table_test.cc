// A table is read whole or not at all, whoever writes, and whenever the writer
// dies.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "plugin/ring/reader.h"
#include "plugin/ring/text_arena.h"
#include "plugin/ring/writer.h"

namespace invact {
namespace {

// Every number in it is `index`.
void Publish(SharedRun* shared, int64_t index, uint32_t count) {
  StepTotalsPod totals = {};
  totals.index = totals.baseline_bytes = totals.held_bytes = index;
  std::vector<SiteRow> rows(count);
  for (SiteRow& row : rows) {
    row.touched = 1;
    row.baseline_bytes = row.held_bytes = row.side_bytes = index;
  }
  PublishTable(shared->last, &shared->last_slot, totals, rows.data(), count);
}

void ExpectWhole(const TableView& table) {
  EXPECT_EQ(table.totals.baseline_bytes, table.totals.index);
  EXPECT_EQ(table.totals.held_bytes, table.totals.index);
  for (const auto& [site, row] : table.rows) {
    EXPECT_EQ(row.baseline_bytes, table.totals.index);
    EXPECT_EQ(row.side_bytes, table.totals.index);
  }
}

TEST(Table, IsReadWholeWhileItIsWritten) {
  auto shared = std::make_unique<SharedRun>();
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int64_t index = 1; index <= 3000; ++index) {
      Publish(shared.get(), index, 50 + index % 50);
    }
    done.store(true);
  });
  const Reader reader(shared.get());
  uint64_t stamp = 0;
  int64_t newest = 0;
  for (bool last = false; !last;) {
    last = done.load();
    TableView table;
    while (reader.LastTable(&stamp, &table)) {
      ExpectWhole(table);
      EXPECT_GT(table.totals.index, newest);
      EXPECT_EQ(table.rows.size(), 50u + table.totals.index % 50);
      newest = table.totals.index;
    }
  }
  writer.join();
  EXPECT_EQ(newest, 3000);
}

TEST(Table, OfAWriterThatDiedInsideIsTheOneBefore) {
  auto shared = std::make_unique<SharedRun>();
  Publish(shared.get(), 7, 20);
  SiteTable& half = shared->last[1 - shared->last_slot.load()];
  half.version.store(half.version.load() + 1);
  half.totals.index = 8;
  half.row[3].baseline_bytes = 99;

  const Reader reader(shared.get());
  uint64_t stamp = 0;
  TableView table;
  ASSERT_TRUE(reader.LastTable(&stamp, &table));
  EXPECT_EQ(table.totals.index, 7);
  ExpectWhole(table);
  EXPECT_FALSE(reader.LastTable(&stamp, &table));  // nothing newer
}

TEST(Table, ThatIsNeverFinishedIsGivenUp) {
  auto shared = std::make_unique<SharedRun>();
  shared->last[0].version.store(1);
  const Reader reader(shared.get());
  uint64_t stamp = 0;
  TableView table;
  EXPECT_FALSE(reader.LastTable(&stamp, &table));
}

TEST(Table, RowsThatNoSiteTouchedAreLeftOut) {
  auto shared = std::make_unique<SharedRun>();
  StepTotalsPod totals = {};
  SiteRow rows[4] = {};
  rows[1].touched = 1;
  rows[3].held_bytes = 5;
  PublishTable(shared->max, &shared->max_slot, totals, rows, 4);
  const Reader reader(shared.get());
  uint64_t stamp = 0;
  TableView table;
  ASSERT_TRUE(reader.MaxTable(&stamp, &table));
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.rows[0].first, 1u);
  EXPECT_EQ(table.rows[1].first, 3u);
}

TEST(Names, ComeBackAndAFullArenaGivesEmptyOnes) {
  auto shared = std::make_unique<SharedRun>();
  const uint32_t scope = AppendScope(shared.get(), "model.layers.0", true);
  const uint32_t site = AppendSite(shared.get(), scope, 4, "GeluBackward0",
                                   "bfloat16", Category::kInput);
  const Reader reader(shared.get());
  EXPECT_EQ(reader.Scope(scope).name, "model.layers.0");
  EXPECT_TRUE(reader.Scope(scope).block);
  EXPECT_EQ(reader.Site(site).op, "GeluBackward0");
  EXPECT_EQ(reader.Site(site).dtype, "bfloat16");
  EXPECT_EQ(reader.Site(site).category, Category::kInput);
  EXPECT_EQ(reader.Site(site).pack_ordinal, 4u);

  const std::string big(60000, 'x');
  while (AppendText(shared.get(), big) != 0) {
  }
  const uint32_t last = AppendScope(shared.get(), big, false);
  EXPECT_EQ(reader.Scope(last).name, "");
  for (uint32_t n = reader.scope_count(); n < kMaxScopes; ++n) {
    ASSERT_NE(AppendScope(shared.get(), "", false), kNoSite);
  }
  EXPECT_EQ(AppendScope(shared.get(), "", false), kNoSite);
}

}  // namespace
}  // namespace invact
