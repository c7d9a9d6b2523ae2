// One SQLite connection with prepared statements, as absl::Status. This file
// and database.cc are the only ones that know SQLite's own types.
//
// A Database and its Statements belong to one thread at a time. Statements
// are cached by the address of their SQL text, so the text must be a literal.
// The dangerous thing: a Statement that was stepped holds a read snapshot
// until it is reset; Query does that when it goes out of scope.
//
// Errors: disk full is kResourceExhausted, a damaged file kDataLoss, an
// interrupted read kDeadlineExceeded, a locked file kUnavailable.
#ifndef INVACT_DAEMON_STORE_DATABASE_H_
#define INVACT_DAEMON_STORE_DATABASE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

struct sqlite3;
struct sqlite3_stmt;

namespace invact {

// Bytes to bind as a BLOB, where a string_view is bound as TEXT.
struct Blob {
  std::string_view bytes;
};

// One execution of a cached statement, reset at the end of its life. An error
// is kept until status() is read, so that calls can be written in a row.
class Query {
 public:
  Query(sqlite3* db, sqlite3_stmt* statement) : db_(db), stmt_(statement) {}
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // Binds the next parameter.
  Query& Bind(int64_t value);
  Query& Bind(double value);
  Query& Bind(std::string_view text);
  Query& Bind(Blob blob);
  Query& BindNull();
  template <typename T>
  Query& Bind(const std::optional<T>& value) {
    return value ? Bind(*value) : BindNull();
  }
  template <typename... Args>
  Query& BindAll(const Args&... args) {
    (Bind(args), ...);
    return *this;
  }

  // True while there is a row. After false, status() says why it ended.
  bool Next();
  // Runs a statement that gives no rows.
  absl::Status Run();
  absl::Status status() const;

  // The next column of this row, left to right.
  int64_t Int();
  double Double();
  std::string Text();  // also for a BLOB
  std::optional<int64_t> OptionalInt();
  std::optional<double> OptionalDouble();

 private:
  void Check(int code);
  bool IsNull();

  sqlite3* db_;
  sqlite3_stmt* stmt_;
  int bound_ = 0;
  int column_ = 0;
  absl::Status status_;
};

class Database {
 public:
  enum class Mode { kReadWrite, kReadOnly };
  // kThisProcess: no other process can open it, and no memory is shared
  // through a file beside it: for a file system that other machines mount.
  // All connections of a process to one file must say the same.
  enum class Sharing { kAnyProcess, kThisProcess };

  // Opens (kReadWrite: or creates, with mode 0600) the file.
  static absl::StatusOr<std::unique_ptr<Database>> Open(
      const std::string& path, Mode mode,
      Sharing sharing = Sharing::kAnyProcess);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // sql: a literal, one statement.
  Query Prepare(const char* sql);
  // Any number of statements, no parameters.
  absl::Status Exec(const std::string& sql);
  // The single integer that a PRAGMA or SELECT gives.
  absl::StatusOr<int64_t> QueryInt(const char* sql);
  // Rows that the last statement changed.
  int64_t changes() const;
  // False after an error that made SQLite roll back by itself.
  bool InTransaction() const;
  // Reads that run longer end with kDeadlineExceeded. InfiniteFuture: none.
  void SetDeadline(absl::Time deadline) { deadline_ = deadline; }

 private:
  explicit Database(sqlite3* db) : db_(db) {}
  static int OnProgress(void* self);

  sqlite3* db_;
  absl::Time deadline_ = absl::InfiniteFuture();
  std::map<const char*, sqlite3_stmt*> statements_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_DATABASE_H_
