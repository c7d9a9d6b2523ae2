#include "daemon/ingest/lost_runs.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/log.h"

namespace invact {
namespace {

constexpr absl::Duration kQueryTime = absl::Seconds(5);

}  // namespace

absl::Status MarkLostRuns(
    Reader& reader, Writer& writer, LiveStreams& live,
    const std::function<bool(const std::string& run_id)>& held,
    std::chrono::seconds lease, LiveStreams::Clock::time_point now) {
  std::vector<std::string> lost;
  {
    absl::StatusOr<ReadSession> session =
        reader.Start(absl::Now() + kQueryTime);
    if (!session.ok()) return session.status();
    absl::StatusOr<std::vector<std::string>> running = session->RunningRuns();
    if (!running.ok()) return running.status();
    for (const std::string& run : *running) {
      if (!live.IsOpen(run) && now - live.GoneAt(run) >= lease && !held(run)) {
        lost.push_back(run);
      }
    }
  }
  for (const std::string& run : lost) {
    absl::Status status = writer.Run([&](Store& store) -> absl::Status {
      // It may have come back while this job was queued.
      if (live.IsOpen(run)) return absl::OkStatus();
      return store.MarkLost(run, absl::ToUnixNanos(absl::Now()));
    });
    if (!status.ok()) return status;
    LogInfo(absl::StrCat("run ", run, " is lost: no relay for ", lease.count(),
                         " s, no end"));
  }
  // Two leases, so that none is forgotten that may still be lost.
  live.ForgetGoneBefore(now - 2 * lease);
  return absl::OkStatus();
}

}  // namespace invact
