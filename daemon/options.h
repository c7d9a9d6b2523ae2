// What invactd was told: the command line, and the few environment variables
// behind its defaults. Read once; nothing else in the daemon reads either.
#ifndef INVACT_DAEMON_OPTIONS_H_
#define INVACT_DAEMON_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace invact {

struct Options {
  std::string state_dir;  // database, log, lock
  std::string socket;     // Unix socket
  // Where relays on this machine may leave spools.
  std::vector<std::string> spool_dirs;
  std::string listen;      // HOST:PORT, empty: no TCP
  std::string token_file;  // asked of every TCP caller
  std::string tls_cert;
  std::string tls_key;
  int64_t quota_bytes = int64_t{10} << 30;
  int64_t idle_exit_seconds = 0;    // 0: stay
  int64_t lost_after_seconds = 60;  // without its relay a run is lost
  bool foreground = false;          // log to stderr too
  std::string log_level = "info";

  std::string database() const { return state_dir + "/invact.db"; }
  std::string log_file() const { return state_dir + "/invactd.log"; }
};

// Empty result: help or version was printed to stdout. kInvalidArgument: the
// message is for stderr.
absl::StatusOr<std::optional<Options>> ParseOptions(int argc,
                                                    const char* const* argv);

// An integer, or with KiB, MiB, GiB, TiB. "GB" and "G" are refused with the
// binary spelling.
absl::StatusOr<int64_t> ParseBytes(std::string_view text);

// A socket path that fits sockaddr_un; a TCP address that is loopback, or has
// TLS and a token.
absl::Status CheckOptions(const Options& options);

// Splits HOST:PORT, [V6]:PORT.
struct HostPort {
  std::string host;
  int port = 0;
  bool loopback = false;
};
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

}  // namespace invact

#endif  // INVACT_DAEMON_OPTIONS_H_
