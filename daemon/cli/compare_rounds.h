// Runs a job once a policy and round, and has the daemon measure what came of
// it.
#ifndef INVACT_DAEMON_CLI_COMPARE_ROUNDS_H_
#define INVACT_DAEMON_CLI_COMPARE_ROUNDS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/cli/shell.h"
#include "invact/v1/run.pb.h"

namespace invact::cli {

struct ComparePlan {
  std::vector<std::string> policies;  // no policy twice
  int rounds = 3;
  absl::Duration timeout = absl::InfiniteDuration();  // of each child
  std::string logs;  // folder for the children's output, made where missing
};

// A policy that failed in a round is not run in those after it. nullopt: a
// signal asked to end, and `*interrupted_by` is that signal; nothing is stored.
absl::StatusOr<std::optional<v1::Comparison>> RunComparison(
    Shell& shell, const ComparePlan& plan, int* interrupted_by);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_COMPARE_ROUNDS_H_
