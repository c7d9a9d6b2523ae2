// The tables, as a list of steps from one user_version to the next, and the
// one function that brings a file to the newest. docs/storage.md tells what
// the tables mean; the views named *_v1 there are stable, the tables are not.
#ifndef INVACT_DAEMON_STORE_SCHEMA_H_
#define INVACT_DAEMON_STORE_SCHEMA_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "daemon/store/database.h"

namespace invact {

// Step i brings user_version i to i + 1. A released step is never edited.
const std::vector<std::string_view>& SchemaSteps();

// The version of a database after all steps.
int SchemaVersion();

// Brings the file at `path`, open as `db`, to the newest version. Each step is
// one transaction; before a step a file that is not empty is copied to
// <path>.before-v<N>. A newer file than `steps` is kFailedPrecondition and
// stays as it was. A failed step leaves the file at its last good version.
absl::Status Migrate(Database& db, const std::string& path,
                     const std::vector<std::string_view>& steps);

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_SCHEMA_H_
