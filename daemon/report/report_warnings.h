// What a reader of a report must know before trusting it: what was said in the
// job, what was lost, what the report could not show.
#ifndef INVACT_DAEMON_REPORT_REPORT_WARNINGS_H_
#define INVACT_DAEMON_REPORT_REPORT_WARNINGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/store/stored_run.h"

namespace invact {

struct WarningFacts {
  bool no_table = false;    // no rows are stored of this step
  bool unbalanced = false;  // rows and totals differ
  int64_t unattributed_bytes = 0;
  int64_t unnamed_rows = 0;
};

// The run's own warnings first, then ours. `report` is filled but for its
// warnings.
std::vector<std::string> CollectWarnings(const StoredRun& run,
                                         const v1::Report& report,
                                         const WarningFacts& facts);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_REPORT_WARNINGS_H_
