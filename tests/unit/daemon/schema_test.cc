// Migrate, with made-up versions: the mechanism, whatever versions there are.
#include "daemon/store/schema.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <string>

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

}  // namespace
}  // namespace invact
