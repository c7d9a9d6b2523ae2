// RunService: what people and programs ask about stored runs.
//
// Owned by the server's owner. Unary calls run on gRPC's pool of threads and
// read by sessions of their own; whatever writes goes through the Writer.
#ifndef INVACT_DAEMON_SERVICE_RUN_SERVICE_H_
#define INVACT_DAEMON_SERVICE_RUN_SERVICE_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/ingest/live_streams.h"
#include "daemon/ingest/writer.h"
#include "daemon/options.h"
#include "daemon/report/build_comparison.h"
#include "daemon/service/activity.h"
#include "daemon/service/token_auth.h"
#include "daemon/service/watch_hub.h"
#include "daemon/store/reader.h"
#include "invact/v1/run.grpc.pb.h"

namespace invact {

// Which rank of a job a request names, if any.
template <typename Request>
std::optional<int> RankOf(const Request& request) {
  if (!request.has_rank()) return std::nullopt;
  return request.rank();
}

// All of it must outlive the service.
struct RunServiceParts {
  const Options* options = nullptr;
  const TokenAuth* auth = nullptr;
  Reader* reader = nullptr;
  Writer* writer = nullptr;
  LiveStreams* live = nullptr;
  Activity* activity = nullptr;
  WatchHub* watch = nullptr;
  std::string file_system;  // that holds the database
  std::function<int64_t()> spools_adopted;
  // Asks main to end the process.
  std::function<void()> stop;
};

class RunService final : public v1::RunService::WithCallbackMethod_WatchRun<
                             v1::RunService::Service> {
 public:
  explicit RunService(RunServiceParts parts)
      : parts_(std::move(parts)), started_(absl::Now()) {}

  void set_listeners(std::vector<std::string> listeners) {
    listeners_ = std::move(listeners);
  }

  grpc::Status ListRuns(grpc::ServerContext* context,
                        const v1::ListRunsRequest* request,
                        v1::ListRunsResponse* response) override;
  grpc::Status GetRun(grpc::ServerContext* context,
                      const v1::GetRunRequest* request,
                      v1::Run* response) override;
  grpc::Status GetReport(grpc::ServerContext* context,
                         const v1::GetReportRequest* request,
                         v1::Report* response) override;
  grpc::Status ListLayers(grpc::ServerContext* context,
                          const v1::ListLayersRequest* request,
                          v1::ListLayersResponse* response) override;
  grpc::Status CompareRuns(grpc::ServerContext* context,
                           const v1::CompareRunsRequest* request,
                           v1::CompareRunsResponse* response) override;
  grpc::Status CreateComparison(grpc::ServerContext* context,
                                const v1::CreateComparisonRequest* request,
                                v1::Comparison* response) override;
  grpc::Status GetComparison(grpc::ServerContext* context,
                             const v1::GetComparisonRequest* request,
                             v1::Comparison* response) override;
  grpc::Status ListComparisons(grpc::ServerContext* context,
                               const v1::ListComparisonsRequest* request,
                               v1::ListComparisonsResponse* response) override;
  grpc::Status ListKernels(grpc::ServerContext* context,
                           const v1::ListKernelsRequest* request,
                           v1::ListKernelsResponse* response) override;
  grpc::Status QueryTimeline(grpc::ServerContext* context,
                             const v1::QueryTimelineRequest* request,
                             v1::QueryTimelineResponse* response) override;
  grpc::Status RecordExit(grpc::ServerContext* context,
                          const v1::RecordExitRequest* request,
                          v1::RecordExitResponse* response) override;
  grpc::Status DeleteRuns(grpc::ServerContext* context,
                          const v1::DeleteRunsRequest* request,
                          v1::DeleteRunsResponse* response) override;
  grpc::Status GetDaemonStatus(grpc::ServerContext* context,
                               const v1::GetDaemonStatusRequest* request,
                               v1::DaemonStatus* response) override;
  grpc::Status StopDaemon(grpc::ServerContext* context,
                          const v1::StopDaemonRequest* request,
                          v1::StopDaemonResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchRunResponse>* WatchRun(
      grpc::CallbackServerContext* context,
      const v1::WatchRunRequest* request) override;

 private:
  // Authorises the call, runs `body`, turns its status into gRPC's.
  grpc::Status Serve(grpc::ServerContext* context,
                     const std::function<absl::Status()>& body);
  absl::StatusOr<ReadSession> Read(const grpc::ServerContextBase& context);
  absl::StatusOr<RunRow> Choose(ReadSession& session,
                                const std::string& selector,
                                std::optional<int> rank);
  absl::StatusOr<v1::Report> Report(ReadSession& session,
                                    const std::string& selector,
                                    std::optional<int> rank,
                                    const std::string& step);
  absl::StatusOr<RoundFacts> Round(ReadSession& session,
                                   const v1::RoundRun& asked);
  absl::Status TimelinePage(ReadSession& session, int64_t run,
                            const v1::QueryTimelineRequest& request,
                            v1::QueryTimelineResponse* response);

  const RunServiceParts parts_;
  const absl::Time started_;
  std::vector<std::string> listeners_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_SERVICE_RUN_SERVICE_H_
