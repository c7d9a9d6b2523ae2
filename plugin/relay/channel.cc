#include "plugin/relay/channel.h"

#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/security/credentials.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace invact {

namespace {

constexpr size_t kMostToken = 4096;

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "INVACT_TOKEN_FILE can't be read (", strerror(errno), ")"));
  }
  struct stat info;
  char text[kMostToken + 1];
  const bool known = fstat(fd, &info) == 0;
  const ssize_t got = read(fd, text, sizeof(text));
  close(fd);
  if (!known || !S_ISREG(info.st_mode) || info.st_uid != geteuid() ||
      (info.st_mode & 077) != 0) {
    return absl::InvalidArgumentError(
        "INVACT_TOKEN_FILE is no file of yours alone; run chmod 600 on it");
  }
  std::string token(absl::StripAsciiWhitespace(
      absl::string_view(text, got < 0 ? 0 : static_cast<size_t>(got))));
  if (token.empty() || token.size() > kMostToken ||
      token.find_first_of(std::string_view("\0\r\n", 3)) != std::string::npos) {
    return absl::InvalidArgumentError(
        "INVACT_TOKEN_FILE holds no token; copy the daemon's file");
  }
  return token;
}

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // A broken way is not mended but left; nothing of it is shared.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

absl::Status CheckOwner(const std::string& path, bool folder) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::NotFoundError("no daemon is there yet");
    return absl::PermissionDeniedError(
        absl::StrCat(path, " can't be looked at (", strerror(errno), ")"));
  }
  // A folder that links to another one is what the link leads to.
  if (folder && S_ISLNK(info.st_mode) && stat(path.c_str(), &info) != 0) {
    return absl::NotFoundError("no daemon is there yet");
  }
  if (folder ? !S_ISDIR(info.st_mode) : !S_ISSOCK(info.st_mode)) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, folder ? " is no folder" : " is no socket"));
  }
  if (info.st_uid != geteuid() || (folder && (info.st_mode & 022) != 0)) {
    return absl::PermissionDeniedError(absl::StrCat(
        path, " belongs to uid ", info.st_uid,
        folder ? " or others may write there" : "", ": not the daemon of uid ",
        geteuid(), "; set INVACT_DAEMON"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Way> OpenUnix(const std::string& path) {
  const std::string folder =
      path.substr(0, std::max<size_t>(1, path.find_last_of('/')));
  for (bool is_folder : {true, false}) {
    absl::Status status = CheckOwner(is_folder ? folder : path, is_folder);
    if (!status.ok()) return status;
  }
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return absl::UnavailableError(strerror(errno));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  ucred peer = {};
  socklen_t length = sizeof(peer);
  absl::Status status;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) !=
      0) {
    status = absl::UnavailableError(strerror(errno));
  } else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
             peer.uid != geteuid()) {
    status = absl::PermissionDeniedError(
        absl::StrCat("the daemon on ", path, " runs as uid ", peer.uid));
  }
  if (!status.ok()) {
    close(fd);
    return status;
  }
  Way way;
  way.channel =
      grpc::CreateCustomInsecureChannelFromFd("localhost", fd, Arguments());
  return way;
}

absl::StatusOr<Way> OpenTcp(const RelayOptions& options) {
  Way way;
  if (!options.token_file.empty()) {
    absl::StatusOr<std::string> token = ReadToken(options.token_file);
    if (!token.ok()) return token.status();
    way.token = *std::move(token);
  }
  grpc::ChannelArguments arguments = Arguments();
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A daemon that is gone without a word is noticed in 40 s.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  way.channel = grpc::CreateCustomChannel(
      "dns:///" + options.daemon.host_port,
      options.daemon.loopback ? grpc::InsecureChannelCredentials()
                              : grpc::SslCredentials({}),
      arguments);
  return way;
}

}  // namespace

absl::StatusOr<Way> OpenWay(const RelayOptions& options) {
  return options.daemon.unix_socket ? OpenUnix(options.daemon.socket)
                                    : OpenTcp(options);
}

std::string SocketIdentity(const RelayOptions& options) {
  struct stat info;
  if (!options.daemon.unix_socket ||
      stat(options.daemon.socket.c_str(), &info) != 0) {
    return "";
  }
  return absl::StrCat(info.st_dev, ".", info.st_ino, ".", info.st_ctim.tv_sec,
                      ".", info.st_ctim.tv_nsec);
}

}  // namespace invact
