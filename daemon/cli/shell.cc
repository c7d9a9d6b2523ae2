#include "daemon/cli/shell.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "daemon/cli/daemon_process.h"
#include "daemon/report/tool_json.h"
#include "daemon/service/rpc_status.h"

namespace invact::cli {
namespace {

const char* ErrorCode(const absl::Status& status) {
  switch (ExitCodeOf(status)) {
    case kUsage:
      return "usage";
    case kNotFound:
      return "not_found";
    case kUnreachable:
      return "unreachable";
    default:
      return "failure";
  }
}

}  // namespace

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kOk;
    case absl::StatusCode::kInvalidArgument:
      return kUsage;
    case absl::StatusCode::kNotFound:
      return kNotFound;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kUnreachable;
    default:
      return kFailure;
  }
}

absl::StatusOr<Client*> Shell::DaemonAgain() {
  client_.reset();
  return Daemon();
}

void Shell::Complain(const absl::Status& status) {
  if (!json) {
    output.Note(std::string(status.message()));
    return;
  }
  std::string next;
  if (const auto payload = status.GetPayload(kNextUrl)) {
    next = std::string(*payload);
  }
  // The message for people ends with it.
  absl::string_view message = status.message();
  absl::ConsumeSuffix(&message, absl::StrCat("; ", next));
  const std::string line =
      ErrorToJson(ErrorCode(status), std::string(message), next);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

absl::StatusOr<Client*> Shell::Daemon() {
  if (client_) return client_.get();
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(environment);
  if (!client.ok() && absl::IsUnavailable(client.status()) &&
      environment.paths.invact_daemon.empty()) {
    DaemonCommand command;
    command.idle_exit_seconds = kIdleExitSeconds;
    absl::Status started = StartDaemon(environment, install, command);
    if (!started.ok()) return started;
    client = Client::Connect(environment);
  }
  if (!client.ok()) return client.status();
  client_ = std::move(*client);
  return client_.get();
}

}  // namespace invact::cli
