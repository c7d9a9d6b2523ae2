// The memory section as JSON: of the report, and a step's for `invact export`.
#ifndef INVACT_DAEMON_REPORT_MEMORY_JSON_H_
#define INVACT_DAEMON_REPORT_MEMORY_JSON_H_

#include "daemon/report/json_parts.h"
#include "invact/v1/run.pb.h"

namespace invact {

// null where the run's memory was not followed.
Json MemoryFields(const v1::Memory& memory);
Json MemoryStepFields(const v1::MemoryStep& step);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_MEMORY_JSON_H_
