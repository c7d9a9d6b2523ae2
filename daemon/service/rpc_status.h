// absl::Status to grpc::Status, with google.rpc.ErrorInfo in its details.
#ifndef INVACT_DAEMON_SERVICE_RPC_STATUS_H_
#define INVACT_DAEMON_SERVICE_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace invact {

// The details carry ErrorInfo{reason: the code's name, domain: "invact"} and,
// where the status has a payload kNextUrl, metadata "next": the command or
// action that helps.
grpc::Status ToGrpc(const absl::Status& status);

inline constexpr char kNextUrl[] = "invact/next";

// The same status with that payload: for a message that says it already.
absl::Status WithHint(absl::Status status, absl::string_view next);

// A status that says what to do next, in its message and its details.
absl::Status WithNext(absl::Status status, absl::string_view next);

}  // namespace invact

#endif  // INVACT_DAEMON_SERVICE_RPC_STATUS_H_
