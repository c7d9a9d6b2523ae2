#include "daemon/service/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/ingest/validate.h"

namespace invact {
namespace {

// A batch and the few bytes around it.
constexpr int kMaxMessageBytes = static_cast<int>(kMaxBatchBytes) + 1024;
constexpr int kMaxThreads = 48;
constexpr size_t kMaxBufferedBytes = 192 << 20;
// What a stream may send before it is read. Left to itself gRPC widens this
// with the speed of the link, and 64 busy streams then break the limit above,
// which resets them.
constexpr int kAheadBytes = 256 << 10;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read ", path, ": ", strerror(errno)));
  }
  return text.str();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TcpCredentials(
    const Options& options) {
  if (options.tls_cert.empty()) return grpc::InsecureServerCredentials();
  absl::StatusOr<std::string> cert = ReadFile(options.tls_cert);
  if (!cert.ok()) return cert.status();
  absl::StatusOr<std::string> key = ReadFile(options.tls_key);
  if (!key.ok()) return key.status();
  grpc::SslServerCredentialsOptions tls;
  tls.pem_key_cert_pairs.push_back({*key, *cert});
  return grpc::SslServerCredentials(tls);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(
    const Options& options, const std::vector<grpc::Service*>& services) {
  std::unique_ptr<RpcServer> out(new RpcServer());
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();

  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  grpc::ResourceQuota quota("invactd");
  quota.Resize(kMaxBufferedBytes).SetMaxThreads(kMaxThreads);
  builder.SetResourceQuota(quota);
  // A peer that is gone without a word is noticed in at most 40 s.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                             kAheadBytes);

  const std::string unix_address = "unix:" + options.socket;
  builder.AddListeningPort(unix_address, grpc::InsecureServerCredentials());
  int port = -1;
  if (!options.listen.empty()) {
    auto credentials = TcpCredentials(options);
    if (!credentials.ok()) return credentials.status();
    builder.AddListeningPort(options.listen, *credentials, &port);
  }
  for (grpc::Service* service : services) builder.RegisterService(service);
  out->server_ = builder.BuildAndStart();
  if (out->server_ == nullptr || port == 0) {
    if (out->server_) out->Stop(absl::ZeroDuration());
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", unix_address,
        options.listen.empty() ? "" : absl::StrCat(" and ", options.listen),
        "; is the port taken, or the certificate wrong?"));
  }
  out->socket_ = options.socket;
  // The directory keeps others out; this does so where it is moved.
  if (chmod(options.socket.c_str(), 0600) != 0) {
    return absl::UnavailableError(absl::StrCat(
        "cannot set the mode of ", options.socket, ": ", strerror(errno)));
  }
  out->listeners_.push_back(unix_address);
  if (port > 0) {
    const size_t colon = options.listen.rfind(':');
    out->listeners_.push_back(
        absl::StrCat(options.listen.substr(0, colon), ":", port));
  }
  return out;
}

RpcServer::~RpcServer() { Stop(absl::ZeroDuration()); }

void RpcServer::Stop(absl::Duration grace) {
  if (server_ == nullptr) return;
  server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  server_->Wait();
  server_.reset();
  if (!socket_.empty()) unlink(socket_.c_str());
}

}  // namespace invact
