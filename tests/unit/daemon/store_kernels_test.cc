// What calibrations found out is stored as it was told, and a database of the
// version before learns to hold it without losing anything.
#include <gtest/gtest.h>

#include "daemon/store/schema.h"
#include "tests/unit/daemon/store_fixture.h"

namespace invact {
namespace {

class StoreKernels : public StoreTest {
 protected:
  StoredKernels ReadKernels(const std::string& run = "00000000000000a1") {
    Reader reader(options_.path, options_.sharing);
    auto session = reader.Start(absl::InfiniteFuture());
    if (!session.ok()) {
      ADD_FAILURE() << session.status();
      return {};
    }
    auto rows = session->Match(run);
    if (!rows.ok() || rows->size() != 1) {
      ADD_FAILURE() << "no run " << run;
      return {};
    }
    auto kernels = session->Kernels((*rows)[0].pk);
    EXPECT_TRUE(kernels.ok()) << kernels.status();
    return kernels.value_or(StoredKernels());
  }
};

v1::KernelCalibration Gelu() {
  v1::KernelCalibration kernel;
  kernel.set_op("aten::gelu");
  kernel.set_dtype("bfloat16");
  kernel.set_device("cuda:0");
  kernel.set_library("built-in");
  kernel.set_served(true);
  kernel.set_side_bits(1);
  kernel.set_stated_max(0.5);
  kernel.set_stated_rms(0.25);
  kernel.set_floor_max(0);
  kernel.set_floor_rms(0.125);
  kernel.set_error_max(0.375);
  kernel.set_error_rms(0.0625);
  return kernel;
}

TEST_F(StoreKernels, AreReadAsTheyWereTold) {
  auto store = Open();
  v1::Hello hello = Hello();
  hello.set_protocol_minor(1);
  v1::KernelCalibration bare;
  bare.set_op("aten::silu");
  bare.set_dtype("float16");
  bare.set_reason("CALIBRATION_FAILED");
  bare.set_detail("what failed");
  *hello.add_kernels() = bare;
  const int64_t run = OpenRun(*store, hello);
  v1::Batch batch = Batch(1);
  *batch.mutable_update()->add_kernels() = Gelu();
  ASSERT_TRUE(Append(*store, run, batch).ok());

  const StoredKernels stored = ReadKernels();

  EXPECT_TRUE(stored.told);
  ASSERT_EQ(stored.kernels.size(), 2u);
  EXPECT_EQ(stored.kernels[0].SerializeAsString(), Gelu().SerializeAsString());
  EXPECT_EQ(stored.kernels[1].SerializeAsString(), bare.SerializeAsString());
  EXPECT_EQ(Count("SELECT COUNT(*) FROM kernels_v1 WHERE run_id = "
                  "'00000000000000a1' AND op = 'aten::gelu' AND floor_max = 0 "
                  "AND error_rms = 0.0625 AND reason IS NULL AND served = 1"),
            1);
  EXPECT_EQ(Count("SELECT COUNT(*) FROM kernels_v1 WHERE op = 'aten::silu' AND "
                  "side_bits IS NULL AND error_max IS NULL AND detail = 'what "
                  "failed'"),
            1);
}

TEST_F(StoreKernels, OneCalibratedAnewReplacesTheOneBefore) {
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  v1::Batch first = Batch(1), second = Batch(2);
  *first.mutable_update()->add_kernels() = Gelu();
  v1::KernelCalibration other = Gelu();
  other.set_device("cuda:1");
  *first.mutable_update()->add_kernels() = other;
  v1::KernelCalibration anew = Gelu();
  anew.set_library("/opt/libmine.so");
  anew.set_error_max(0.75);
  *second.mutable_update()->add_kernels() = anew;
  ASSERT_TRUE(Append(*store, run, first).ok());
  ASSERT_TRUE(Append(*store, run, second).ok());

  const StoredKernels stored = ReadKernels();

  EXPECT_FALSE(stored.told) << "protocol 1.0";
  ASSERT_EQ(stored.kernels.size(), 2u);
  EXPECT_EQ(stored.kernels[0].SerializeAsString(), anew.SerializeAsString());
  EXPECT_EQ(stored.kernels[1].SerializeAsString(), other.SerializeAsString());
}

TEST_F(StoreKernels, ARunThatTellsOfTooManyKeepsTheFirst) {
  auto store = Open();
  const int64_t run = OpenRun(*store, Hello());
  for (int seq = 1; seq <= 11; ++seq) {
    v1::Batch batch = Batch(seq);
    for (int i = 0; i < 100; ++i) {
      batch.mutable_update()->add_kernels()->set_op(
          std::to_string(1000 * seq + i));
    }
    ASSERT_TRUE(Append(*store, run, batch).ok());
  }
  EXPECT_EQ(Count("SELECT COUNT(*) FROM kernels"), 1024);
  EXPECT_EQ(Count("SELECT COUNT(*) FROM kernels WHERE op = '1000'"), 1);
}

// Rows as a daemon of version 1 wrote them.
constexpr char kRowsOfV1[] = R"sql(
INSERT INTO runs (pk, id, name, job_id, state, policy, started_ns, host, pid,
  rank, local_rank, world_size, restart, torch_version, device, steps, exact,
  invact_version, secret_sha256, last_seq, seen_ns, peak_held_bytes)
VALUES (3, '00000000000000a1', 'old.py', 'job', 'finished', 'invert', 100,
  'here', 7, 0, 0, 1, 0, '2.11.0', 'cpu', 5, 0, '0.1.0', x'00', 2, 9, 4242);
INSERT INTO batches VALUES (3, 1, 11, 12, 1, 13), (3, 2, 21, 22, 0, 23);
INSERT INTO event_blobs VALUES (1, 3, 1, 1, 48, 0, 0, zeroblob(48));
INSERT INTO scopes VALUES (3, 1, 'model.mlp', 1);
INSERT INTO sites VALUES (3, 1, 1, 0, 'GeluBackward0', 'float32', 'activation');
INSERT INTO steps VALUES (3, 4, 1, 'done', 1000, 600, 10, 1, 2, 3, NULL, NULL,
  NULL, NULL, NULL, NULL, 1, NULL, NULL, 1000, 0, 0, NULL);
INSERT INTO site_tables VALUES (3, 'last', 4, 1, 'done', 1000, 600, 10, 1, 2, 3,
  NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL, 1000, 0, 0, NULL);
INSERT INTO site_rows VALUES (3, 'last', 1, 1000, 600, 10, 'invert', '', 0);
INSERT INTO scope_rows VALUES (3, 'last', 1, 500, 1, 9);
INSERT INTO warnings VALUES (3, 0, 'said');
INSERT INTO kernels VALUES (3, 'aten::gelu', 'float32', 'cpu', 'old', 0.5, 0.25,
  1, '');
INSERT INTO exits VALUES ('job', 7, 0, NULL, 1);
)sql";

// On a connection of its own: statements are cached by their address.
std::vector<std::string> Texts(const std::string& path, const std::string& also,
                               const std::string& sql) {
  auto db = Database::Open(path, Database::Mode::kReadOnly);
  EXPECT_TRUE(db.ok()) << db.status();
  EXPECT_TRUE((*db)->Exec("ATTACH '" + also + "' AS also").ok());
  std::vector<std::string> texts;
  Query query = (*db)->Prepare(sql.c_str());
  while (query.Next()) texts.push_back(query.Text());
  EXPECT_TRUE(query.status().ok()) << sql << ": " << query.status();
  return texts;
}

TEST_F(StoreKernels, ADatabaseOfVersion1IsBroughtUpAndLosesNothing) {
  const std::string original = folder_ + "/original.db";
  {
    auto db = Database::Open(options_.path, Database::Mode::kReadWrite);
    ASSERT_TRUE(db.ok());
    ASSERT_TRUE(Migrate(**db, options_.path, {SchemaSteps()[0]}).ok());
    ASSERT_TRUE((*db)->Exec(kRowsOfV1).ok());
    ASSERT_TRUE((*db)->Exec("VACUUM INTO '" + original + "'").ok());
  }

  auto store = Open();
  ASSERT_NE(store, nullptr);

  EXPECT_EQ(Count("PRAGMA user_version"), SchemaVersion());
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_NE(notes_[0].find("schema brought from version 1"), std::string::npos);
  const std::string copy = options_.path + ".before-v2";
  EXPECT_EQ(Texts(copy, original, "PRAGMA user_version"),
            std::vector<std::string>{"1"});
  const std::vector<std::string> tables =
      Texts(original, copy,
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') "
            "AND name != 'codebooks'");
  ASSERT_EQ(tables.size(), 16u);
  for (const std::string& table : tables) {
    const std::string columns = Texts(
        original, copy,
        "SELECT group_concat(name) FROM pragma_table_info('" + table + "')")[0];
    for (const std::string& file : {options_.path, copy}) {
      EXPECT_EQ(Texts(file, original, "SELECT COUNT(*) FROM main." + table),
                Texts(file, original, "SELECT COUNT(*) FROM also." + table))
          << table;
      EXPECT_EQ(Texts(file, original,
                      "SELECT COUNT(*) > 0 FROM (SELECT " + columns +
                          " FROM also." + table + " INTERSECT SELECT " +
                          columns + " FROM main." + table + ")"),
                std::vector<std::string>{"1"})
          << table;
      EXPECT_EQ(Texts(file, original,
                      "SELECT COUNT(*) FROM (SELECT " + columns +
                          " FROM also." + table + " EXCEPT SELECT " + columns +
                          " FROM main." + table + ")"),
                std::vector<std::string>{"0"})
          << table;
    }
  }

  EXPECT_EQ(ReadRun().name(), "old.py");
  EXPECT_EQ(Count("SELECT eliminated_bytes FROM layers_v1 WHERE name = "
                  "'model.mlp' AND op = 'GeluBackward0'"),
            400);
  const StoredKernels old = ReadKernels();
  EXPECT_FALSE(old.told);
  ASSERT_EQ(old.kernels.size(), 1u);
  EXPECT_EQ(old.kernels[0].error_max(), 0.5);
  EXPECT_FALSE(old.kernels[0].has_side_bits());
  EXPECT_FALSE(old.kernels[0].has_floor_max());
  EXPECT_EQ(Count("SELECT COUNT(*) FROM kernels_v1 WHERE library = 'old'"), 1);
  {  // Its events are as they came, not packed.
    Reader reader(options_.path, options_.sharing);
    auto session = reader.Start(absl::InfiniteFuture());
    auto events = session->Events(3, 0, 0, {}, 10);
    ASSERT_TRUE(events.ok()) << events.status();
    EXPECT_EQ(events->events.size(), 1u);
  }
  // And it takes what is new.
  v1::Hello hello = Hello("00000000000000a2");
  hello.set_protocol_minor(1);
  *hello.add_kernels() = Gelu();
  OpenRun(*store, hello);
  EXPECT_EQ(ReadKernels("00000000000000a2").kernels.size(), 1u);
}

}  // namespace
}  // namespace invact
