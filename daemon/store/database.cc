#include "daemon/store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"

namespace invact {
namespace {

// Operations of SQLite's machine between two looks at the deadline.
constexpr int kProgressInterval = 4096;

absl::Status ToStatus(sqlite3* db, int code) {
  const std::string text = absl::StrCat("SQLite: ", sqlite3_errmsg(db), " (",
                                        sqlite3_extended_errcode(db), ")");
  switch (code & 0xff) {
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(text);
    case SQLITE_IOERR:
      switch (sqlite3_system_errno(db)) {
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
          return absl::ResourceExhaustedError(text);
        default:
          return absl::UnavailableError(text);
      }
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
      return absl::UnavailableError(text);
    case SQLITE_INTERRUPT:
      return absl::DeadlineExceededError("the query took too long");
    default:
      return absl::InternalError(text);
  }
}

}  // namespace

Query::~Query() {
  if (stmt_ != nullptr) {
    sqlite3_reset(stmt_);
    sqlite3_clear_bindings(stmt_);
  }
}

void Query::Check(int code) {
  if (code != SQLITE_OK && status_.ok()) status_ = ToStatus(db_, code);
}

Query& Query::Bind(int64_t value) {
  if (stmt_) Check(sqlite3_bind_int64(stmt_, ++bound_, value));
  return *this;
}
Query& Query::Bind(double value) {
  if (stmt_) Check(sqlite3_bind_double(stmt_, ++bound_, value));
  return *this;
}
Query& Query::Bind(std::string_view text) {
  // A null pointer would be bound as NULL.
  const char* data = text.data() ? text.data() : "";
  if (stmt_) {
    Check(sqlite3_bind_text64(stmt_, ++bound_, data, text.size(),
                              SQLITE_TRANSIENT, SQLITE_UTF8));
  }
  return *this;
}
Query& Query::Bind(Blob blob) {
  const char* data = blob.bytes.data() ? blob.bytes.data() : "";
  if (stmt_) {
    Check(sqlite3_bind_blob64(stmt_, ++bound_, data, blob.bytes.size(),
                              SQLITE_TRANSIENT));
  }
  return *this;
}
Query& Query::BindNull() {
  if (stmt_) Check(sqlite3_bind_null(stmt_, ++bound_));
  return *this;
}

bool Query::Next() {
  if (stmt_ == nullptr || !status_.ok()) return false;
  column_ = 0;
  const int code = sqlite3_step(stmt_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) status_ = ToStatus(db_, code);
  return false;
}

absl::Status Query::Run() {
  while (Next()) {
  }
  return status();
}

absl::Status Query::status() const {
  if (stmt_ == nullptr) {
    return ToStatus(db_, sqlite3_errcode(db_));  // it could not be prepared
  }
  return status_;
}

int64_t Query::Int() { return sqlite3_column_int64(stmt_, column_++); }
double Query::Double() { return sqlite3_column_double(stmt_, column_++); }
std::string Query::Text() {
  const int column = column_++;
  const auto* data =
      static_cast<const char*>(sqlite3_column_blob(stmt_, column));
  const int size = sqlite3_column_bytes(stmt_, column);
  return data ? std::string(data, size) : std::string();
}
bool Query::IsNull() {
  return sqlite3_column_type(stmt_, column_) == SQLITE_NULL;
}
std::optional<int64_t> Query::OptionalInt() {
  if (!IsNull()) return Int();
  ++column_;
  return std::nullopt;
}
std::optional<double> Query::OptionalDouble() {
  if (!IsNull()) return Double();
  ++column_;
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(
    const std::string& path, Mode mode, Sharing sharing) {
  if (mode == Mode::kReadWrite) {
    // SQLite would make it for all to read. Its other files follow this one's
    // mode. (Not for a file that is there: to close it would drop the locks of
    // a connection of this process.)
    const int fd = open(
        path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
  }
  sqlite3* db = nullptr;
  const int flags =
      (mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY
                               : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
      SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
  const int code =
      sqlite3_open_v2(path.c_str(), &db, flags,
                      sharing == Sharing::kThisProcess ? "unix-excl" : nullptr);
  if (code != SQLITE_OK) {
    absl::Status status =
        db ? ToStatus(db, code) : absl::ResourceExhaustedError("no memory");
    sqlite3_close(db);
    return absl::Status(status.code(),
                        absl::StrCat(path, ": ", status.message()));
  }
  std::unique_ptr<Database> out(new Database(db));
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, 5000);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  if (mode == Mode::kReadOnly) {
    sqlite3_progress_handler(db, kProgressInterval, &Database::OnProgress,
                             out.get());
  }
  return out;
}

Database::~Database() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

int Database::OnProgress(void* self) {
  return absl::Now() > static_cast<Database*>(self)->deadline_ ? 1 : 0;
}

Query Database::Prepare(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr) {
    sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement,
                       nullptr);
  }
  return Query(db_, statement);
}

absl::Status Database::Exec(const std::string& sql) {
  const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : ToStatus(db_, code);
}

absl::StatusOr<int64_t> Database::QueryInt(const char* sql) {
  Query query = Prepare(sql);
  if (query.Next()) return query.Int();
  absl::Status status = query.status();
  return status.ok() ? absl::NotFoundError("no row") : status;
}

int64_t Database::changes() const { return sqlite3_changes64(db_); }
bool Database::InTransaction() const { return !sqlite3_get_autocommit(db_); }

}  // namespace invact
