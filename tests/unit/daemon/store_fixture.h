// A store in a folder of its own, and messages to put into it.
#ifndef INVACT_TESTS_UNIT_DAEMON_STORE_FIXTURE_H_
#define INVACT_TESTS_UNIT_DAEMON_STORE_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "daemon/store/reader.h"
#include "daemon/store/store.h"

namespace invact {

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    std::string name = testing::TempDir() + "invactXXXXXX";
    folder_ = mkdtemp(name.data());
    options_.path = folder_ + "/invact.db";
  }
  ~StoreTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Store> Open() {
    auto store = Store::Open(options_, &notes_);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  static v1::Hello Hello(const std::string& id = "00000000000000a1") {
    v1::Hello hello;
    hello.set_protocol_major(1);
    hello.set_run_secret("0123456789abcdef");
    hello.mutable_run()->set_id(id);
    hello.mutable_run()->set_job_id("job");
    hello.mutable_run()->set_pid(7);
    hello.mutable_run()->mutable_started_at()->set_seconds(100);
    return hello;
  }
  // records: of 48 bytes, which no packing makes smaller.
  static v1::Batch Batch(uint64_t seq, int records = 0) {
    v1::Batch batch;
    batch.set_seq(seq);
    batch.set_wall_time_ns(1000 + static_cast<int64_t>(seq));
    std::mt19937_64 random(seq);
    std::string bytes(records * 48, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    batch.set_records(bytes);
    if (records > 0) batch.set_record_bytes(48);
    return batch;
  }

  // In a group of its own.
  static int64_t OpenRun(Store& store, const v1::Hello& hello) {
    EXPECT_TRUE(store.Begin().ok());
    auto run = store.OpenRun(hello, 1);
    EXPECT_TRUE(run.ok()) << run.status();
    EXPECT_TRUE(store.Commit().ok());
    return run.ok() ? run->pk : 0;
  }
  static absl::Status Append(Store& store, int64_t run,
                             const v1::Batch& batch) {
    absl::Status status = store.Begin();
    if (status.ok()) status = store.AppendBatch(run, batch, 1);
    if (status.ok()) status = store.Commit();
    if (!status.ok()) store.Rollback();
    return status;
  }

  v1::Run ReadRun(const std::string& selector = "00000000000000a1") {
    Reader reader(options_.path, options_.sharing);
    auto session = reader.Start(absl::InfiniteFuture());
    EXPECT_TRUE(session.ok()) << session.status();
    if (!session.ok()) return {};
    auto rows = session->Match(selector);
    EXPECT_TRUE(rows.ok() && rows->size() == 1) << selector;
    return rows.ok() && rows->size() == 1 ? (*rows)[0].run : v1::Run();
  }
  // The single integer of a query on a connection of its own.
  int64_t Count(const char* sql) {
    auto db = Database::Open(options_.path, Database::Mode::kReadOnly,
                             options_.sharing);
    EXPECT_TRUE(db.ok()) << db.status();
    auto count = (*db)->QueryInt(sql);
    EXPECT_TRUE(count.ok()) << sql << ": " << count.status();
    return count.value_or(-1);
  }

  std::string folder_;
  StoreOptions options_;
  std::vector<std::string> notes_;
};

}  // namespace invact

#endif  // INVACT_TESTS_UNIT_DAEMON_STORE_FIXTURE_H_
