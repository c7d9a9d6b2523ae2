// LD_PRELOAD with libinvact.so in it, and without. Pure functions.
#ifndef INVACT_DAEMON_CLI_PRELOAD_H_
#define INVACT_DAEMON_CLI_PRELOAD_H_

#include <string>

#include "absl/status/statusor.h"
#include "daemon/cli/install.h"

namespace invact::cli {

// `existing` with the library before it; another libinvact.so in it goes.
// kFailedPrecondition: there is no library, or its path has a character that
// LD_PRELOAD takes for a separator.
absl::StatusOr<std::string> WithLibrary(const Install& install,
                                        const std::string& existing);

// `existing` without any libinvact.so.
std::string WithoutLibrary(const std::string& existing);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_PRELOAD_H_
