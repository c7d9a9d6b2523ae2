// Digests are stored as they were told and go with their run, and a database of
// the version before learns to hold them without losing a comparison.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/store/schema.h"
#include "tests/unit/daemon/store_fixture.h"

namespace invact {
namespace {

using testing::ElementsAre;

class StoreDigests : public StoreTest {
 protected:
  StoredDigests ReadDigests() {
    Reader reader(options_.path, options_.sharing);
    auto session = reader.Start(absl::InfiniteFuture());
    if (!session.ok()) return {};
    auto rows = session->Match("00000000000000a1");
    if (!rows.ok() || rows->size() != 1) return {};
    auto digests = session->Digests((*rows)[0].pk);
    EXPECT_TRUE(digests.ok()) << digests.status();
    return digests.value_or(StoredDigests());
  }
};

v1::StepDigests Step(int64_t number, uint64_t gradient, bool last) {
  v1::StepDigests step;
  step.set_step(number);
  step.add_parameters(0);
  step.add_gradients(gradient);
  if (last) step.set_total(1);
  return step;
}

void AddSteps(v1::Batch* batch) {
  for (const auto& [index, complete] : {std::pair(0, true), {1, false}}) {
    v1::StepTotals* totals = batch->add_steps();
    totals->set_index(index);
    totals->set_complete(complete);
    totals->set_phase("done");
  }
}

TEST_F(StoreDigests, AreReadByStepInTheOrderTheyCame) {
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  v1::Batch first = Batch(1), second = Batch(2);
  v1::Parameter* parameter = first.add_parameters();
  parameter->set_name("weight");
  parameter->set_type("float32[2]");
  AddSteps(&first);
  *first.add_digests() = Step(0, UINT64_MAX, false);
  *first.add_digests() = Step(3, 3, true);
  *second.add_parameters() = *parameter;  // said again
  *second.add_digests() = Step(0, 5, true);
  ASSERT_TRUE(Append(*store, run, first).ok());
  ASSERT_TRUE(Append(*store, run, second).ok());
  ASSERT_TRUE(Append(*store, run, second).ok()) << "it comes twice";

  const StoredDigests stored = ReadDigests();

  ASSERT_EQ(stored.parameters.size(), 1u);
  EXPECT_EQ(stored.parameters[0].name(), "weight");
  EXPECT_EQ(stored.parameters[0].type(), "float32[2]");
  ASSERT_EQ(stored.digests.size(), 3u);
  EXPECT_EQ(stored.digests[0].gradients(0), UINT64_MAX);
  EXPECT_EQ(stored.digests[1].gradients(0), 5u);
  EXPECT_EQ(stored.digests[2].step(), 3);
  EXPECT_THAT(stored.steps, ElementsAre(0));
  EXPECT_FALSE(stored.cut);
}

TEST_F(StoreDigests, GoWithTheirRun) {
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  v1::Batch batch = Batch(1);
  batch.add_parameters()->set_name("weight");
  *batch.add_digests() = Step(0, 1, true);
  batch.mutable_end()->set_state("finished");
  batch.mutable_end()->set_end_reason("exit");
  ASSERT_TRUE(Append(*store, run, batch).ok());
  EXPECT_EQ(Count("SELECT COUNT(*) FROM digests"), 1);

  ASSERT_TRUE(store->Begin().ok());
  ASSERT_EQ(store->DeleteRuns({"00000000000000a1"}).value_or(0), 1);
  ASSERT_TRUE(store->Commit().ok());

  EXPECT_EQ(Count("SELECT COUNT(*) FROM digests"), 0);
  EXPECT_EQ(Count("SELECT COUNT(*) FROM parameters"), 0);
}

TEST_F(StoreDigests, AComparisonOfTheVersionBeforeKeepsItsFigures) {
  {
    auto db = Database::Open(options_.path, Database::Mode::kReadWrite);
    ASSERT_TRUE(db.ok()) << db.status();
    const std::vector<std::string_view> old(SchemaSteps().begin(),
                                            SchemaSteps().begin() + 3);
    ASSERT_TRUE(Migrate(**db, options_.path, old).ok());
    ASSERT_TRUE(
        (*db)
            ->Exec("INSERT INTO comparisons VALUES (1, 'ab', 'train.py', "
                   "1, 3, 'observe', x'');"
                   "INSERT INTO comparison_policies VALUES (1, 0, "
                   "'invert', '', 'exit', 7, 5, NULL, NULL, 0.5, NULL, "
                   "NULL, NULL, NULL, 'unseen')")
            .ok());
  }
  auto store = Open();

  v1::Comparison comparison;
  comparison.set_id("cd");
  v1::ComparedPolicy* row = comparison.add_policies();
  row->set_policy("invert");
  row->set_loss_equal(true);
  row->set_gradients("differ");
  row->set_gradients_first_step(12);
  ASSERT_TRUE(store->Begin().ok());
  ASSERT_TRUE(store->AddComparison(comparison).ok());
  ASSERT_TRUE(store->Commit().ok());

  EXPECT_EQ(Count("SELECT held_bytes FROM comparisons_v1 WHERE comparison_id "
                  "= 'ab' AND gradients = 'unseen' AND gradients_first_step "
                  "IS NULL"),
            5);
  EXPECT_EQ(Count("SELECT gradients_first_step FROM comparisons_v1 WHERE "
                  "comparison_id = 'cd' AND loss_first_step IS NULL"),
            12);
}

}  // namespace
}  // namespace invact
