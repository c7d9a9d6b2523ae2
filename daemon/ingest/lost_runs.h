// Marks runs as crashed, lost whose relay is gone for good.
//
// A run is lost when it has no end, no open stream for the length of the lease
// (from the daemon's start at the earliest: relays come back after a restart),
// and no relay on this machine holds its spool. A relay that comes back later
// makes it running again, and its RunEnd wins. Any one thread.
#ifndef INVACT_DAEMON_INGEST_LOST_RUNS_H_
#define INVACT_DAEMON_INGEST_LOST_RUNS_H_

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "daemon/ingest/live_streams.h"
#include "daemon/ingest/writer.h"
#include "daemon/store/reader.h"

namespace invact {

// held: whether a relay on this machine lives that has the run. All must
// outlive the call.
absl::Status MarkLostRuns(
    Reader& reader, Writer& writer, LiveStreams& live,
    const std::function<bool(const std::string& run_id)>& held,
    std::chrono::seconds lease, LiveStreams::Clock::time_point now);

}  // namespace invact

#endif  // INVACT_DAEMON_INGEST_LOST_RUNS_H_
