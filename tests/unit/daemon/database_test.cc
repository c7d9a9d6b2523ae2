// Database: time-boxed reads, and errors as the statuses that callers act on.
#include "daemon/store/database.h"

#include <fstream>

#include "absl/time/clock.h"
#include "tests/unit/daemon/store_fixture.h"

namespace invact {
namespace {

constexpr char kEndless[] =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT COUNT(*) FROM n";

TEST_F(StoreTest, AReadThatTakesTooLongEndsAndTheNextOneWorks) {
  auto store = Open();
  OpenRun(*store, Hello());
  auto db = Database::Open(options_.path, Database::Mode::kReadOnly);
  ASSERT_TRUE(db.ok());
  const absl::Time began = absl::Now();
  (*db)->SetDeadline(began + absl::Milliseconds(50));

  const absl::Status status = (*db)->QueryInt(kEndless).status();

  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_LT(absl::Now() - began, absl::Seconds(10));
  (*db)->SetDeadline(absl::InfiniteFuture());
  EXPECT_EQ((*db)->QueryInt("SELECT COUNT(*) FROM runs").value_or(-1), 1);
}

TEST_F(StoreTest, ASessionSeesOneSnapshotAndIsUsedAgain) {
  auto store = Open();
  Reader reader(options_.path);
  const auto runs = [](ReadSession& session) {
    auto usage = session.CountUsage();
    EXPECT_TRUE(usage.ok()) << usage.status();
    return usage.ok() ? usage->runs : -1;
  };
  {
    auto session = reader.Start(absl::InfiniteFuture());
    ASSERT_TRUE(session.ok());
    EXPECT_EQ(runs(*session), 0);
    OpenRun(*store, Hello());
    EXPECT_EQ(runs(*session), 0) << "the snapshot moved";
  }
  auto session = reader.Start(absl::InfiniteFuture());
  EXPECT_EQ(runs(*session), 1);
}

TEST_F(StoreTest, AReaderCannotWrite) {
  auto store = Open();
  auto db = Database::Open(options_.path, Database::Mode::kReadOnly);
  EXPECT_TRUE(absl::IsUnavailable((*db)->Exec("DELETE FROM runs")));
}

TEST_F(StoreTest, TextComesBackAsItIs) {
  const std::string texts[] = {
      "",         "'\";--",           std::string("a\0b", 3),
      "\xff\xfe", "\u202e\U0001f600", std::string(1 << 20, 'x')};
  auto db = Database::Open(options_.path, Database::Mode::kReadWrite);
  ASSERT_TRUE((*db)->Exec("CREATE TABLE t (n INTEGER, s TEXT)").ok());
  for (const std::string& text : texts) {
    ASSERT_TRUE((*db)->Exec("DELETE FROM t").ok());
    ASSERT_TRUE((*db)
                    ->Prepare("INSERT INTO t VALUES (?, ?)")
                    .BindAll(int64_t{1}, text)
                    .Run()
                    .ok());
    Query query = (*db)->Prepare("SELECT s FROM t");
    ASSERT_TRUE(query.Next());
    EXPECT_EQ(query.Text(), text);
  }
}

TEST_F(StoreTest, AFileThatIsNoDatabaseIsDataLoss) {
  std::ofstream(options_.path) << std::string(8192, 'x');
  auto db = Database::Open(options_.path, Database::Mode::kReadWrite);
  absl::Status status = db.status();
  if (status.ok()) status = (*db)->QueryInt("PRAGMA user_version").status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

TEST_F(StoreTest, ALinkIsNotFollowed) {
  std::filesystem::create_symlink(folder_ + "/target", options_.path);
  EXPECT_FALSE(Database::Open(options_.path, Database::Mode::kReadWrite).ok());
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/target"));
}

}  // namespace
}  // namespace invact
