#include "daemon/cli/client.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "daemon/service/rpc_status.h"
#include "daemon/service/token_auth.h"

namespace invact::cli {
namespace {

using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

// A daemon on this machine answers in a millisecond; one that migrates its
// database, or is far away, takes longer.
constexpr absl::Duration kConnectTime = absl::Seconds(10);
// A report of the largest allowed run is a few dozen MiB.
constexpr int kMaxMessageBytes = 256 << 20;

const std::string* Bytes(const UnknownFieldSet& fields, int number) {
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& field = fields.field(i);
    if (field.number() == number &&
        field.type() == UnknownField::TYPE_LENGTH_DELIMITED) {
      return &field.length_delimited();
    }
  }
  return nullptr;
}

// ErrorInfo.metadata["next"] in a google.rpc.Status, as rpc_status.cc writes
// it; empty where there is none.
std::string NextIn(const std::string& details_untrusted) {
  UnknownFieldSet status, info, entry;
  google::protobuf::Any any;
  const std::string* field = nullptr;
  if (!status.ParseFromString(details_untrusted) ||
      !(field = Bytes(status, 3)) || !any.ParseFromString(*field) ||
      !info.ParseFromString(any.value()) || !(field = Bytes(info, 3)) ||
      !entry.ParseFromString(*field)) {
    return "";
  }
  const std::string* key = Bytes(entry, 1);
  const std::string* value = Bytes(entry, 2);
  return key && value && *key == "next" ? *value : "";
}

absl::Status Unreachable(const std::string& address, bool named,
                         const std::string& why) {
  return WithNext(absl::UnavailableError(absl::StrCat("no daemon answers on ",
                                                      address, ": ", why)),
                  named
                      ? "start one there with: invact daemon start, or correct "
                        "INVACT_DAEMON, or unset it to have one started here"
                      : "start one with: invact daemon start");
}

}  // namespace

absl::Status ProbeSocket(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError("the socket's path is too long");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return absl::InternalError(absl::StrCat("socket: ", strerror(errno)));
  }
  ucred peer = {};
  socklen_t size = sizeof(peer);
  const bool connected =
      connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  const int error = errno;
  const bool known =
      connected && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  close(fd);
  if (!connected) return absl::UnavailableError(strerror(error));
  if (!known || (peer.uid != geteuid() && peer.uid != 0)) {
    return absl::PermissionDeniedError(
        absl::StrCat("the process that listens on ", path, " belongs to uid ",
                     peer.uid, ", not to you; nothing was sent to it"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(
    const Environment& environment) {
  const bool named = !environment.paths.invact_daemon.empty();
  DaemonAddress address;
  std::string error;
  if (!ParseDaemonAddress(environment.paths, &address, &error)) {
    return absl::InvalidArgumentError(error);
  }
  std::unique_ptr<Client> out(new Client());
  std::shared_ptr<grpc::ChannelCredentials> credentials =
      grpc::InsecureChannelCredentials();
  if (address.unix_socket) {
    out->address_ = "unix:" + address.socket;
    // gRPC would wait for a second before it tries again.
    absl::Status probe = ProbeSocket(address.socket);
    if (absl::IsUnavailable(probe)) {
      return Unreachable(out->address_, named, std::string(probe.message()));
    }
    if (!probe.ok()) return probe;
  } else {
    out->address_ = address.host_port;
    if (!address.loopback) credentials = grpc::SslCredentials({});
    if (!environment.token_file.empty()) {
      absl::StatusOr<std::string> token =
          TokenAuth::ReadTokenFile(environment.token_file);
      if (!token.ok()) return token.status();
      out->token_ = *token;
    }
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // The proxies of a site are not for its own daemon.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  out->channel_ =
      grpc::CreateCustomChannel(out->address_, credentials, arguments);
  out->stub_ = v1::RunService::NewStub(out->channel_);
  auto status = out->Call(&Stub::GetDaemonStatus, v1::GetDaemonStatusRequest(),
                          kConnectTime);
  if (!status.ok()) {
    if (absl::IsUnavailable(status.status()) ||
        absl::IsDeadlineExceeded(status.status())) {
      return Unreachable(out->address_, named,
                         std::string(status.status().message()));
    }
    return status.status();
  }
  out->daemon_ = *status;
  return out;
}

void Client::Prepare(grpc::ClientContext* context,
                     std::optional<absl::Duration> time) const {
  if (time) context->set_deadline(absl::ToChronoTime(absl::Now() + *time));
  if (!token_.empty()) {
    context->AddMetadata("authorization", "Bearer " + token_);
  }
}

absl::Status Client::ToAbsl(const grpc::Status& status) const {
  std::string message = status.error_message();
  std::string next = NextIn(status.error_details());
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    message =
        absl::StrCat("the daemon (", daemon_.version(),
                     ") does not know this call of invact ", INVACT_VERSION);
    next = "restart it with: invact daemon stop; invact daemon start";
    return WithNext(absl::UnimplementedError(message), next);
  }
  absl::Status out(static_cast<absl::StatusCode>(status.error_code()), message);
  if (!next.empty()) out.SetPayload(kNextUrl, absl::Cord(next));
  return out;
}

absl::Status Client::Watch(
    const v1::WatchRunRequest& request,
    const std::function<bool(const v1::WatchRunResponse&)>& each) {
  grpc::ClientContext context;
  Prepare(&context, std::nullopt);
  auto reader = stub_->WatchRun(&context, request);
  v1::WatchRunResponse response;
  while (reader->Read(&response)) {
    if (each(response)) continue;
    context.TryCancel();
    reader->Finish();
    return absl::OkStatus();
  }
  const grpc::Status status = reader->Finish();
  return status.ok() ? absl::OkStatus() : ToAbsl(status);
}

}  // namespace invact::cli
