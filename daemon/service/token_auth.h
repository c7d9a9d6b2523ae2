// Who may call over TCP: the holder of the bearer token. Over the Unix socket
// its directory decides (0700), no token is asked for.
#ifndef INVACT_DAEMON_SERVICE_TOKEN_AUTH_H_
#define INVACT_DAEMON_SERVICE_TOKEN_AUTH_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace grpc {
class ServerContextBase;
}

namespace invact {

class TokenAuth {
 public:
  // An empty token lets everybody in who reaches the listener.
  explicit TokenAuth(std::string token) : token_(std::move(token)) {}

  // The token of a file that nobody else can read, 16 to 4096 bytes without
  // surrounding white space.
  static absl::StatusOr<std::string> ReadTokenFile(const std::string& path);

  // peer: as gRPC names it ("unix:…", "ipv4:…"); authorization: the header's
  // value. Takes the same time wherever the token differs.
  absl::Status Check(std::string_view peer,
                     std::string_view authorization) const;
  absl::Status Check(const grpc::ServerContextBase& context) const;

 private:
  const std::string token_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_SERVICE_TOKEN_AUTH_H_
