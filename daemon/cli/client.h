// The daemon as the verbs see it: the only file with gRPC calls.
//
// Owned by Shell, used by one thread. Every call has a deadline. Errors are
// absl::Status with what to do next as payload kNextUrl: kUnavailable where
// nothing answers.
#ifndef INVACT_DAEMON_CLI_CLIENT_H_
#define INVACT_DAEMON_CLI_CLIENT_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "daemon/cli/options.h"
#include "invact/v1/run.grpc.pb.h"

namespace invact::cli {

// No call should take longer; a huge report over a slow line may take a while.
inline constexpr absl::Duration kCallTime = absl::Seconds(30);

class Client {
 public:
  using Stub = v1::RunService::Stub;

  // The daemon that INVACT_DAEMON names, else the default socket's. Returns
  // when it has answered.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(
      const Environment& environment);

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                   Response*),
      const Request& request, absl::Duration time = kCallTime) {
    grpc::ClientContext context;
    Prepare(&context, time);
    Response response;
    const grpc::Status status =
        (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return ToAbsl(status);
    return response;
  }

  // Until the run ends, the daemon leaves, or `each` gives false.
  absl::Status Watch(
      const v1::WatchRunRequest& request,
      const std::function<bool(const v1::WatchRunResponse&)>& each);

  // "unix:/run/user/1000/invact/d.sock" or "host:7411".
  const std::string& address() const { return address_; }
  // What it said of itself when it was connected to.
  const v1::DaemonStatus& daemon() const { return daemon_; }

 private:
  Client() = default;
  void Prepare(grpc::ClientContext* context,
               std::optional<absl::Duration> time) const;
  absl::Status ToAbsl(const grpc::Status& status) const;

  std::string address_;
  std::string token_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Stub> stub_;
  v1::DaemonStatus daemon_;
};

// Whether a process of this user (or root) listens on the socket. Takes no
// time. kPermissionDenied where somebody else does.
absl::Status ProbeSocket(const std::string& path);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_CLIENT_H_
