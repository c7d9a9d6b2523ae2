// The memory section of a report. A pure function, any thread.
#ifndef INVACT_DAEMON_REPORT_BUILD_MEMORY_H_
#define INVACT_DAEMON_REPORT_BUILD_MEMORY_H_

#include <vector>

#include "daemon/store/stored_run.h"
#include "invact/v1/run.pb.h"

namespace invact {

// `steps`: all of the run; what a peak would have been without eliminations is
// known where the run used one device: a step's totals tell of no device.
void AddMemory(StoredMemory memory, const std::vector<v1::StepTotals>& steps,
               v1::Report* report);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_BUILD_MEMORY_H_
