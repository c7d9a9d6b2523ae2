// Which run a selector means: pure functions over what the store found.
#ifndef INVACT_DAEMON_SERVICE_CHOOSE_RUN_H_
#define INVACT_DAEMON_SERVICE_CHOOSE_RUN_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/store/reader.h"

namespace invact {

// matches: ReadSession::Match(selector). One run, or the one of a job: of its
// newest restart, the rank with the highest allocated peak (where none is
// known, the one that held most; then the lowest rank). kNotFound and, where
// the matches belong together by nothing but their beginning or name,
// kInvalidArgument with the candidates.
absl::StatusOr<RunRow> ChooseRun(const std::string& selector,
                                 const std::vector<RunRow>& matches);

// The newest of the job's runs with that rank.
absl::StatusOr<RunRow> ChooseRank(int rank, const std::vector<RunRow>& job);

}  // namespace invact

#endif  // INVACT_DAEMON_SERVICE_CHOOSE_RUN_H_
