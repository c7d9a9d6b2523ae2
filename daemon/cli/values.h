// Values that the user gives by hand. Pure functions.
#ifndef INVACT_DAEMON_CLI_VALUES_H_
#define INVACT_DAEMON_CLI_VALUES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace invact::cli {

// The one of `known` that takes the fewest edits to become `word`.
std::string Nearest(const std::string& word,
                    const std::vector<std::string>& known);

// kInvalidArgument names the nearest one, if it is near, and says how several
// are measured.
absl::Status CheckPolicy(const std::string& policy);

// Whether gradients can be exact with INVACT_BITS=`bits`.
absl::Status CheckBits(bool exact, const std::string& bits);

// "12.5" or "12.5%"; `option` for the message.
absl::StatusOr<double> ParsePercent(const std::string& option,
                                    const std::string& text);

// Bytes as ParseBytes of daemon/options.h takes them.
absl::StatusOr<int64_t> ParseSize(const std::string& option,
                                  const std::string& text);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_VALUES_H_
