#include "daemon/service/token_auth.h"

#include <fcntl.h>
#include <grpcpp/server_context.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace invact {
namespace {

constexpr size_t kMinToken = 16;
constexpr size_t kMaxToken = 4096;

// Of equal length whatever is compared, so that the time tells nothing.
std::string Digest(std::string_view text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

}  // namespace

absl::StatusOr<std::string> TokenAuth::ReadTokenFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot read the token file ", path, ": ", strerror(errno)));
  }
  struct stat info;
  char buffer[kMaxToken + 1];
  const bool known = fstat(fd, &info) == 0;
  const ssize_t n = read(fd, buffer, sizeof(buffer));
  close(fd);
  if (!known || !S_ISREG(info.st_mode) || n < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the token file ", path, " is no readable file"));
  }
  if (info.st_uid != geteuid() || (info.st_mode & 077)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the token file ", path,
        " can be read by others or is not yours; run: chmod 600 ", path));
  }
  std::string token(absl::StripAsciiWhitespace(absl::string_view(buffer, n)));
  if (token.size() < kMinToken || token.size() > kMaxToken) {
    return absl::InvalidArgumentError(
        absl::StrCat("the token in ", path, " must have ", kMinToken, " to ",
                     kMaxToken, " bytes; make one with: openssl rand -hex 32"));
  }
  return token;
}

absl::Status TokenAuth::Check(std::string_view peer,
                              std::string_view authorization) const {
  if (token_.empty() || absl::StartsWith({peer.data(), peer.size()}, "unix")) {
    return absl::OkStatus();
  }
  absl::string_view given(authorization.data(), authorization.size());
  const bool bearer = absl::ConsumePrefix(&given, "Bearer ");
  const std::string expected = Digest(token_);
  const std::string presented = Digest({given.data(), given.size()});
  if (bearer &&
      CRYPTO_memcmp(expected.data(), presented.data(), expected.size()) == 0) {
    return absl::OkStatus();
  }
  return absl::UnauthenticatedError(
      authorization.empty()
          ? "this daemon asks for a token; set INVACT_TOKEN_FILE"
          : "the token is not this daemon's; check INVACT_TOKEN_FILE");
}

absl::Status TokenAuth::Check(const grpc::ServerContextBase& context) const {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  return Check(context.peer(), found == metadata.end()
                                   ? std::string_view()
                                   : std::string_view(found->second.data(),
                                                      found->second.size()));
}

}  // namespace invact
