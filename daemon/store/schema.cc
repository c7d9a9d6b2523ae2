#include "daemon/store/schema.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "daemon/store/schema_v1.h"
#include "daemon/store/schema_v2.h"
#include "daemon/store/schema_v3.h"
#include "daemon/store/schema_v4.h"
#include "daemon/store/schema_v5.h"
#include "daemon/store/schema_v6.h"

namespace invact {
namespace {

absl::Status Secure(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  const bool synced = fd >= 0 && fchmod(fd, 0600) == 0 && fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (synced) return absl::OkStatus();
  return absl::UnavailableError(strerror(error));
}

absl::Status CopyBefore(Database& db, const std::string& path, int64_t next) {
  const std::string copy = absl::StrCat(path, ".before-v", next);
  unlink(copy.c_str());  // of an attempt that was cut off
  Query vacuum = db.Prepare("VACUUM INTO ?1");
  absl::Status status = vacuum.Bind(copy).Run();
  // SQLite neither syncs it, as it does the step after this, nor gives it the
  // mode of the file.
  if (status.ok()) status = Secure(copy);
  if (status.ok()) return status;
  unlink(copy.c_str());
  return absl::Status(
      status.code(),
      absl::StrCat("cannot copy the database to ", copy,
                   " before changing its schema: ", status.message(),
                   "; make room there, nothing was changed"));
}

}  // namespace

const std::vector<std::string_view>& SchemaSteps() {
  static const auto* steps = new std::vector<std::string_view>{
      kSchemaV1, kSchemaV2, kSchemaV3, kSchemaV4, kSchemaV5, kSchemaV6};
  return *steps;
}

int SchemaVersion() { return static_cast<int>(SchemaSteps().size()); }

absl::Status Migrate(Database& db, const std::string& path,
                     const std::vector<std::string_view>& steps) {
  absl::StatusOr<int64_t> version = db.QueryInt("PRAGMA user_version");
  if (!version.ok()) return version.status();
  const int64_t newest = static_cast<int64_t>(steps.size());
  if (*version > newest) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " has schema version ", *version, ", written by a newer invact; ",
        "this one knows up to ", newest,
        ". Install the newer invact, or start with another --state-dir. ",
        "Nothing was changed."));
  }
  for (int64_t at = *version; at < newest; ++at) {
    if (at > 0) {
      if (absl::Status s = CopyBefore(db, path, at + 1); !s.ok()) return s;
    }
    const absl::Status status =
        db.Exec(absl::StrCat("BEGIN IMMEDIATE;", std::string(steps[at]),
                             ";PRAGMA user_version=", at + 1, ";COMMIT;"));
    if (!status.ok()) {
      if (db.InTransaction()) db.Exec("ROLLBACK").IgnoreError();
      return absl::Status(
          status.code(), absl::StrCat(path, ": schema step to version ", at + 1,
                                      " failed, the file stays at version ", at,
                                      ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace invact
