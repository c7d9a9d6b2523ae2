// The gRPC server: which services, on which addresses, with which limits.
//
// Owned and used by main alone. The services must outlive it. It makes the
// Unix socket by itself: the caller holds the socket's lock and has checked
// its directory.
#ifndef INVACT_DAEMON_SERVICE_SERVER_H_
#define INVACT_DAEMON_SERVICE_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/options.h"

namespace grpc {
class Server;
class Service;
}  // namespace grpc

namespace invact {

class RpcServer {
 public:
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      const Options& options, const std::vector<grpc::Service*>& services);
  ~RpcServer();

  // What it answers on: "unix:/…", "127.0.0.1:7411".
  const std::vector<std::string>& listeners() const { return listeners_; }

  // Takes no new calls, gives those under way until the deadline, then
  // cancels them. Removes the socket.
  void Stop(absl::Duration grace);

 private:
  RpcServer() = default;
  std::unique_ptr<grpc::Server> server_;
  std::vector<std::string> listeners_;
  std::string socket_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_SERVICE_SERVER_H_
