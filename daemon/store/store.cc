#include "daemon/store/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "daemon/store/schema.h"
#include "proto/codes.h"

namespace invact {
namespace {

// A file up to this size is checked at every start; a larger one only after
// an owner that was killed (2 s for 1 GiB on a laptop's disk).
constexpr int64_t kAlwaysCheckBytes = int64_t{256} << 20;
// Share of the quota that is left after old events were dropped.
constexpr double kQuotaLowMark = 0.9;
constexpr int kBlobsAtATime = 64;

constexpr char kPragmas[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
    "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"
    "PRAGMA cache_size=-8192; PRAGMA wal_autocheckpoint=4096;"
    "PRAGMA journal_size_limit=67108864;";

int64_t FileBytes(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

void SyncDirectoryOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string dir =
      slash == std::string::npos ? "." : path.substr(0, slash);
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

absl::StatusOr<std::string> SetAside(const std::string& path) {
  const std::string stem = absl::StrCat(
      path, ".corrupt-",
      absl::FormatTime("%Y%m%dT%H%M%E3SZ", absl::Now(), absl::UTCTimeZone()));
  for (const char* suffix : {"-wal", "-shm", ""}) {
    if (rename(absl::StrCat(path, suffix).c_str(),
               absl::StrCat(stem, suffix).c_str()) != 0 &&
        errno != ENOENT) {
      return absl::UnavailableError(
          absl::StrCat("cannot set the damaged database ", path,
                       " aside: ", strerror(errno)));
    }
  }
  SyncDirectoryOf(path);
  return stem;
}

absl::Status QuickCheck(Database& db) {
  Query query = db.Prepare("PRAGMA quick_check(1)");
  if (query.Next()) {
    const std::string verdict = query.Text();
    if (verdict != "ok") return absl::DataLossError(verdict);
  }
  return query.status();
}

}  // namespace

bool IsStoreFailure(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    default:
      return false;
  }
}

Store::Store(const StoreOptions& options, LockFile lock)
    : options_(options), lock_(std::move(lock)) {}

Store::~Store() = default;

absl::StatusOr<std::unique_ptr<Store>> Store::Open(
    const StoreOptions& options, std::vector<std::string>* notes) {
  absl::StatusOr<LockFile> lock = LockFile::Take(
      absl::StrCat(options.path, ".lock"), "database", options.self);
  if (!lock.ok()) return lock.status();
  const bool full_check =
      lock->was_left_behind() || FileBytes(options.path) <= kAlwaysCheckBytes;
  std::unique_ptr<Store> store(new Store(options, *std::move(lock)));
  absl::Status status = store->OpenDatabase(full_check, notes);
  if (absl::IsDataLoss(status)) {
    store->db_.reset();
    absl::StatusOr<std::string> aside = SetAside(options.path);
    if (!aside.ok()) return aside.status();
    notes->push_back(absl::StrCat("the database was damaged (",
                                  status.message(), "); it is kept as ", *aside,
                                  " and a new one was started"));
    status = store->OpenDatabase(false, notes);
  }
  if (!status.ok()) return status;
  return store;
}

absl::Status Store::OpenDatabase(bool full_check,
                                 std::vector<std::string>* notes) {
  const bool existed = FileBytes(options_.path) > 0;
  absl::StatusOr<std::unique_ptr<Database>> db = Database::Open(
      options_.path, Database::Mode::kReadWrite, options_.sharing);
  if (!db.ok()) return db.status();
  db_ = *std::move(db);
  // Before the first pragma that writes: a newer file must stay as it is.
  absl::StatusOr<int64_t> version = db_->QueryInt("PRAGMA user_version");
  if (!version.ok()) return version.status();
  absl::Status status;
  if (*version <= SchemaVersion()) {
    if (!existed) status = db_->Exec("PRAGMA auto_vacuum=INCREMENTAL");
    if (status.ok()) status = db_->Exec(kPragmas);
    if (status.ok() && existed && full_check) status = QuickCheck(*db_);
  }
  if (status.ok()) status = Migrate(*db_, options_.path, SchemaSteps());
  if (!status.ok()) return status;
  if (existed && *version < SchemaVersion() && *version > 0) {
    notes->push_back(absl::StrCat("schema brought from version ", *version,
                                  " to ", SchemaVersion(),
                                  "; the file before it is kept beside it"));
  }
  if (options_.max_pages > 0) {
    status =
        db_->Exec(absl::StrCat("PRAGMA max_page_count=", options_.max_pages));
    if (!status.ok()) return status;
  }
  SyncDirectoryOf(options_.path);
  return FindCodebook();
}

// Events carry numbers of proto/codes.h, whose order may change between
// versions: the names behind them are stored with them.
absl::Status Store::FindCodebook() {
  std::vector<std::tuple<std::string, int64_t, std::string>> names;
  const auto add = [&](const char* field, const auto& table) {
    int64_t number = 0;
    for (std::string_view name : table) {
      names.emplace_back(field, number++, std::string(name));
    }
  };
  add("kind", codes::kEventNames);
  add("source", codes::kSourceNames);
  add("action", codes::kActionNames);
  add("memory_category", codes::kMemoryCategoryNames);

  absl::StatusOr<int64_t> newest =
      db_->QueryInt("SELECT COALESCE(MAX(codebook), 0) FROM codebooks");
  if (!newest.ok()) return newest.status();
  for (codebook_ = 1; codebook_ <= *newest; ++codebook_) {
    int64_t same = 0;
    for (const auto& [field, number, name] : names) {
      Query query = db_->Prepare(
          "SELECT 1 FROM codebooks WHERE codebook = ? AND field = ? AND "
          "number = ? AND name = ?");
      same += query.BindAll(codebook_, field, number, name).Next();
    }
    if (same == static_cast<int64_t>(names.size())) return absl::OkStatus();
  }
  absl::Status status = Begin();
  for (const auto& [field, number, name] : names) {
    if (!status.ok()) break;
    status = db_->Prepare("INSERT INTO codebooks VALUES (?, ?, ?, ?)")
                 .BindAll(codebook_, field, number, name)
                 .Run();
  }
  if (status.ok()) status = Commit();
  if (!status.ok()) Rollback();
  return status;
}

absl::Status Store::Begin() { return db_->Exec("BEGIN IMMEDIATE"); }

absl::Status Store::Commit() {
  for (const auto& [key, table] : tables_) {
    absl::Status status = WriteSiteTable(key.first, key.second, *table);
    if (!status.ok()) return status;
  }
  tables_.clear();
  absl::Status status = db_->Exec("COMMIT");
  damaged_ |= absl::IsDataLoss(status);
  return status;
}

void Store::Rollback() {
  tables_.clear();
  // SQLite may have rolled back by itself, as it does for some full disks.
  if (db_->InTransaction()) db_->Exec("ROLLBACK").IgnoreError();
}

absl::StatusOr<int64_t> Store::EnforceQuota() {
  absl::StatusOr<int64_t> pages = db_->QueryInt("PRAGMA page_count");
  absl::StatusOr<int64_t> free = db_->QueryInt("PRAGMA freelist_count");
  absl::StatusOr<int64_t> size = db_->QueryInt("PRAGMA page_size");
  if (!pages.ok()) return pages.status();
  if (!free.ok()) return free.status();
  if (!size.ok()) return size.status();
  const int64_t used = (*pages - *free) * *size;
  const int64_t quota = options_.quota_bytes;
  if (quota <= 0 || used <= quota) return 0;
  // In steps, so that no transaction is long.
  int64_t to_free = used - static_cast<int64_t>(quota * kQuotaLowMark);
  int64_t dropped = 0;
  while (to_free > 0) {
    absl::Status status = Begin();
    absl::StatusOr<Dropped> some = Dropped{};
    if (status.ok()) some = DropOldestEvents(to_free);
    if (status.ok()) status = some.status();
    if (status.ok()) status = Commit();
    if (!status.ok()) {
      Rollback();
      return status;
    }
    if (some->bytes == 0) break;  // only rows are left, and they stay
    to_free -= some->bytes;
    dropped += some->events;
  }
  return dropped;
}

absl::StatusOr<Store::Dropped> Store::DropOldestEvents(int64_t bytes_wanted) {
  struct Blob {
    int64_t pk, run, bytes, events;
    bool memory;
  };
  std::vector<Blob> oldest;
  {
    // A blob of several batches is as old as the last of them.
    Query query = db_->Prepare(
        "SELECT o.pk, o.run, o.bytes, o.events, o.memory FROM ("
        "SELECT * FROM (SELECT pk, run, seq, LENGTH(records) AS bytes, "
        "COALESCE(events, LENGTH(records) / record_bytes) AS events, "
        "0 AS memory FROM event_blobs ORDER BY pk LIMIT ?1) UNION ALL "
        "SELECT * FROM (SELECT pk, run, seq, LENGTH(records) + "
        "LENGTH(levels) + LENGTH(layers) + LENGTH(ranges), events, 1 "
        "FROM memory_blobs ORDER BY pk LIMIT ?1)) AS o "
        "JOIN batches AS b ON b.run = o.run AND b.seq = o.seq "
        "ORDER BY b.stored_ns, o.seq LIMIT ?1");
    query.Bind(int64_t{kBlobsAtATime});
    while (query.Next()) {
      Blob& blob = oldest.emplace_back();
      for (int64_t* field : {&blob.pk, &blob.run, &blob.bytes, &blob.events}) {
        *field = query.Int();
      }
      blob.memory = query.Int() != 0;
    }
    if (!query.status().ok()) return query.status();
  }
  Dropped dropped;
  for (const Blob& blob : oldest) {
    if (dropped.bytes >= bytes_wanted) break;
    absl::Status status =
        db_->Prepare(blob.memory ? "DELETE FROM memory_blobs WHERE pk = ?"
                                 : "DELETE FROM event_blobs WHERE pk = ?")
            .Bind(blob.pk)
            .Run();
    if (status.ok()) {
      status = db_->Prepare(
                      "UPDATE runs SET events_expired = events_expired + ? "
                      "WHERE pk = ?")
                   .BindAll(blob.events, blob.run)
                   .Run();
    }
    if (!status.ok()) return status;
    dropped.bytes += blob.bytes;
    dropped.events += blob.events;
  }
  return dropped;
}

absl::Status Store::Checkpoint() {
  absl::Status status = db_->Exec("PRAGMA incremental_vacuum");
  if (!status.ok()) return status;
  return db_->Exec("PRAGMA wal_checkpoint(TRUNCATE)");
}

void Store::Close() {
  const bool clean = Checkpoint().ok() && !damaged_;
  db_.reset();
  if (clean) lock_.Release();
}

}  // namespace invact
