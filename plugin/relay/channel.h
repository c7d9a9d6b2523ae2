// The way to the daemon: which address, whether it may be trusted, with which
// credentials. Nothing is kept; each attempt looks anew, so that a daemon that
// starts later, or a new token, is found.
//
// A Unix socket is used only where it and its folder belong to this user and
// its daemon runs as this user: else anybody could pose as the daemon in /tmp.
#ifndef INVACT_PLUGIN_RELAY_CHANNEL_H_
#define INVACT_PLUGIN_RELAY_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "plugin/relay/options.h"

namespace grpc {
class Channel;
}

namespace invact {

struct Way {
  std::shared_ptr<grpc::Channel> channel;
  std::string token;  // to be sent as "Bearer ..."; empty: none
};

// kNotFound: there is no socket. kUnavailable: nobody answers on it.
// kPermissionDenied, kInvalidArgument: what is wrong and what to do.
absl::StatusOr<Way> OpenWay(const RelayOptions& options);

// Changes when another daemon takes the socket; empty where there is none or
// the address is no socket.
std::string SocketIdentity(const RelayOptions& options);

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_CHANNEL_H_
