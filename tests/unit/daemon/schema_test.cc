// Migrate, with made-up versions: the mechanism, whatever versions there are.
#include "daemon/store/schema.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <string>

#include "proto/memory_record.h"
#include "tests/unit/daemon/store_fixture.h"

namespace invact {
namespace {

using testing::HasSubstr;
using Steps = std::vector<std::string_view>;

constexpr std::string_view kOne = "CREATE TABLE t (a INTEGER);";
constexpr std::string_view kTwo =
    "ALTER TABLE t ADD COLUMN b INTEGER; UPDATE t SET b = a * 2;";
constexpr std::string_view kThree = "CREATE VIEW v AS SELECT a + b AS c FROM t";

class Schema : public StoreTest {
 protected:
  std::unique_ptr<Database> OpenDb() {
    auto db = Database::Open(options_.path, Database::Mode::kReadWrite);
    EXPECT_TRUE(db.ok()) << db.status();
    return *std::move(db);
  }
  static int64_t Version(Database& db) {
    return db.QueryInt("PRAGMA user_version").value_or(-1);
  }
};

TEST_F(Schema, AnOlderFileIsCopiedBeforeEachStepAndBroughtUp) {
  {
    auto db = OpenDb();
    ASSERT_TRUE(Migrate(*db, options_.path, Steps{kOne}).ok());
    ASSERT_TRUE(db->Exec("INSERT INTO t VALUES (21)").ok());
  }
  auto db = OpenDb();

  ASSERT_TRUE(Migrate(*db, options_.path, Steps{kOne, kTwo, kThree}).ok());

  EXPECT_EQ(Version(*db), 3);
  EXPECT_EQ(db->QueryInt("SELECT c FROM v").value_or(0), 63);
  for (const int next : {2, 3}) {
    const std::string copy = options_.path + ".before-v" + std::to_string(next);
    auto before = Database::Open(copy, Database::Mode::kReadOnly);
    ASSERT_TRUE(before.ok()) << before.status();
    EXPECT_EQ(Version(**before), next - 1);
    EXPECT_EQ((*before)->QueryInt("SELECT a FROM t").value_or(0), 21);
    EXPECT_EQ(std::filesystem::status(copy).permissions() &
                  std::filesystem::perms::others_all,
              std::filesystem::perms::none);
  }
  EXPECT_FALSE(std::filesystem::exists(options_.path + ".before-v1"));
}

TEST_F(Schema, AStepThatFailsLeavesTheFileAtItsLastGoodVersion) {
  auto db = OpenDb();
  ASSERT_TRUE(Migrate(*db, options_.path, Steps{kOne}).ok());
  ASSERT_TRUE(db->Exec("INSERT INTO t VALUES (21)").ok());
  // Its first half works.
  constexpr std::string_view kBroken =
      "ALTER TABLE t ADD COLUMN b INTEGER; INSERT INTO nowhere VALUES (1)";

  const absl::Status status = Migrate(*db, options_.path, Steps{kOne, kBroken});

  EXPECT_THAT(std::string(status.message()),
              HasSubstr("schema step to version 2 failed, the file stays at "
                        "version 1"));
  EXPECT_EQ(Version(*db), 1);
  EXPECT_FALSE(db->QueryInt("SELECT b FROM t").ok());
  EXPECT_TRUE(Migrate(*db, options_.path, Steps{kOne, kTwo}).ok());
  EXPECT_EQ(db->QueryInt("SELECT b FROM t").value_or(0), 42);
}

TEST_F(Schema, WithoutRoomForTheCopyNothingIsChanged) {
  auto db = OpenDb();
  ASSERT_TRUE(Migrate(*db, options_.path, Steps{kOne}).ok());
  std::filesystem::create_directory(options_.path + ".before-v2");

  const absl::Status status = Migrate(*db, options_.path, Steps{kOne, kTwo});

  EXPECT_THAT(std::string(status.message()), HasSubstr("nothing was changed"));
  EXPECT_EQ(Version(*db), 1);
}

TEST_F(Schema, ANewerFileIsRefusedAndStaysAsItIs) {
  {
    auto db = OpenDb();
    ASSERT_TRUE(db->Exec("CREATE TABLE t (a); PRAGMA user_version=900").ok());
  }
  const auto size = std::filesystem::file_size(options_.path);
  const auto time = std::filesystem::last_write_time(options_.path);

  auto store = Store::Open(options_, &notes_);

  EXPECT_TRUE(absl::IsFailedPrecondition(store.status())) << store.status();
  EXPECT_THAT(std::string(store.status().message()),
              HasSubstr("has schema version 900, written by a newer invact"));
  EXPECT_EQ(std::filesystem::file_size(options_.path), size);
  EXPECT_EQ(std::filesystem::last_write_time(options_.path), time);
}

TEST_F(Schema, EveryStepOfOursWorksOnAnEmptyFile) {
  auto db = OpenDb();
  for (size_t count = 1; count <= SchemaSteps().size(); ++count) {
    const Steps steps(SchemaSteps().begin(), SchemaSteps().begin() + count);
    ASSERT_TRUE(Migrate(*db, options_.path, steps).ok()) << count;
    EXPECT_EQ(Version(*db), static_cast<int64_t>(count));
  }
  EXPECT_EQ(SchemaVersion(), Version(*db));
  for (const char* view : {"runs_v1", "steps_v1", "layers_v1", "batches_v1",
                           "kernels_v1", "comparisons_v1", "memory_steps_v1",
                           "memory_moments_v1", "memory_holders_v1"}) {
    EXPECT_TRUE(
        db->QueryInt(("SELECT COUNT(*) FROM " + std::string(view)).c_str())
            .ok())
        << view;
  }
}

TEST_F(Schema, AFileOfVersionFiveKeepsItsEventsAndTakesChangesOfMemory) {
  {
    auto db = OpenDb();
    const Steps five(SchemaSteps().begin(), SchemaSteps().begin() + 5);
    ASSERT_TRUE(Migrate(*db, options_.path, five).ok());
    ASSERT_TRUE(
        db->Exec("INSERT INTO runs (pk, id, name, job_id, state, policy, host, "
                 "torch_version, device, invact_version, pid, rank, "
                 "local_rank, world_size, restart, exact, started_ns, "
                 "last_seq, secret_sha256, seen_ns) VALUES (1, "
                 "'00000000000000a1', '', '', 'running', '', '', '', '', '', "
                 "1, 0, 0, 1, 0, 0, 1, 3, x'', 1);"
                 "INSERT INTO batches (run, seq, wall_ns, mono_ns, events, "
                 "stored_ns) VALUES (1, 3, 1, 1, 2, 1);"
                 "INSERT INTO event_blobs (run, seq, codebook, record_bytes, "
                 "first_step, last_step, records, packed, events) "
                 "VALUES (1, 3, 1, 48, 0, 0, x'00', 0, 2)")
            .ok());
  }
  auto store = Open();
  ASSERT_NE(store, nullptr);

  MemoryRecord record = {};
  record.bytes = 99;
  record.scope = record.site = kNoMemoryPlace;
  v1::Batch batch = Batch(4);
  batch.set_memory_records(&record, sizeof(record));
  batch.set_memory_record_bytes(sizeof(record));
  ASSERT_TRUE(Append(*store, 1, batch).ok());

  EXPECT_EQ(Count("SELECT COUNT(*) FROM batches_v1"), 2);
  EXPECT_EQ(Count("SELECT events_kept - memory_events_kept FROM batches_v1 "
                  "WHERE seq = 3"),
            1);
  EXPECT_EQ(Count("SELECT memory_events_kept - events_kept FROM batches_v1 "
                  "WHERE seq = 4"),
            1);
  Reader reader(options_.path, options_.sharing);
  auto curves = reader.Start(absl::InfiniteFuture())
                    ->ChangeCurves(1, {0, INT64_MAX, 10, {}, "", {}, {}});
  ASSERT_TRUE(curves.ok() && curves->size() == 1) << curves.status();
  EXPECT_EQ(curves->at(0).buckets(0).last_bytes(), 99);
}

}  // namespace
}  // namespace invact
