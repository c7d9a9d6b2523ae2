#include "daemon/options.h"

#include <arpa/inet.h>
#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/paths.h"

namespace invact {
namespace {

std::string Env(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

PathEnvironment ReadPaths() {
  PathEnvironment paths;
  paths.invact_daemon = Env("INVACT_DAEMON");
  paths.invact_state_dir = Env("INVACT_STATE_DIR");
  paths.invact_spool_dir = Env("INVACT_SPOOL_DIR");
  paths.xdg_state_home = Env("XDG_STATE_HOME");
  paths.xdg_runtime_dir = Env("XDG_RUNTIME_DIR");
  paths.home = Env("HOME");
  paths.tmpdir = Env("TMPDIR");
  paths.uid = geteuid();
  return paths;
}

std::string SocketOf(const PathEnvironment& paths) {
  // A HOST:PORT names a daemon elsewhere.
  if (!absl::StartsWith(paths.invact_daemon, "unix:")) {
    return DefaultSocket(paths);
  }
  DaemonAddress address;
  std::string error;
  ParseDaemonAddress(paths, &address, &error);
  return address.socket;  // CheckOptions says what is wrong with it
}

}  // namespace

absl::StatusOr<int64_t> ParseBytes(std::string_view text) {
  absl::string_view rest(text.data(), text.size());
  const size_t digits = rest.find_first_not_of("0123456789");
  const absl::string_view unit =
      digits == absl::string_view::npos ? "" : rest.substr(digits);
  int64_t value = 0;
  if (!absl::SimpleAtoi(rest.substr(0, digits), &value)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", rest, "\" is no number of bytes; write 10737418240 or 10GiB"));
  }
  static constexpr absl::string_view kUnits = "KMGT";
  if (unit.empty()) return value;
  const size_t power = kUnits.find(unit[0]);
  if (power == absl::string_view::npos || unit.substr(1) != "iB") {
    const char letter = power == absl::string_view::npos ? 'G' : unit[0];
    return absl::InvalidArgumentError(
        absl::StrCat("\"", rest, "\": write ", rest.substr(0, digits),
                     std::string(1, letter), "iB (units are KiB, MiB, GiB, ",
                     "TiB, powers of 1024)"));
  }
  const int shift = 10 * (static_cast<int>(power) + 1);
  if (value > (INT64_MAX >> shift)) {
    return absl::InvalidArgumentError(absl::StrCat(rest, " is too large"));
  }
  return value << shift;
}

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  HostPort out;
  if (colon == std::string_view::npos ||
      !absl::SimpleAtoi(
          absl::string_view(text.data() + colon + 1, text.size() - colon - 1),
          &out.port) ||
      out.port < 0 || out.port > 65535 || colon == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen ", absl::string_view(text.data(), text.size()),
                     " is not HOST:PORT, for example 127.0.0.1:7411"));
  }
  out.host = std::string(text.substr(0, colon));
  if (out.host.size() > 2 && out.host.front() == '[' &&
      out.host.back() == ']') {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  in_addr v4;
  in6_addr v6;
  if (inet_pton(AF_INET, out.host.c_str(), &v4) == 1) {
    out.loopback = (ntohl(v4.s_addr) >> 24) == 127;
  } else if (inet_pton(AF_INET6, out.host.c_str(), &v6) == 1) {
    out.loopback = IN6_IS_ADDR_LOOPBACK(&v6);
  } else {
    // Any other name may resolve to anything.
    out.loopback = out.host == "localhost";
  }
  return out;
}

absl::Status CheckOptions(const Options& options) {
  const size_t limit = sizeof(sockaddr_un::sun_path) - 1;
  if (options.socket.size() > limit) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the socket path has ", options.socket.size(),
        " bytes, a Unix socket allows ", limit, ": ", options.socket,
        "; name a shorter one with --socket or INVACT_DAEMON=unix:PATH"));
  }
  if (options.socket.empty() || options.socket[0] != '/') {
    return absl::InvalidArgumentError(absl::StrCat(
        "the socket path must be absolute: \"", options.socket, "\""));
  }
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert and --tls-key come together; one is missing");
  }
  if (options.listen.empty()) return absl::OkStatus();
  absl::StatusOr<HostPort> address = ParseHostPort(options.listen);
  if (!address.ok()) return address.status();
  if (!address->loopback &&
      (options.tls_cert.empty() || options.token_file.empty())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--listen ", options.listen,
        " can be reached from other machines: it needs --tls-cert, --tls-key "
        "and --token-file. Or listen on 127.0.0.1 and use an SSH tunnel."));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Options>> ParseOptions(int argc,
                                                    const char* const* argv) {
  PathEnvironment paths = ReadPaths();
  Options options;
  options.state_dir = StateDir(paths);
  options.socket = SocketOf(paths);
  std::string quota;
  CLI::App app(
      "Stores what invact's relays send and answers the command "
      "line. Runs until SIGTERM or `invact daemon stop`.",
      "invactd");
  // So that a wrapper's defaults can be overridden.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_version_flag("--version", std::string("invactd ") + INVACT_VERSION);
  app.add_option("--state-dir", options.state_dir,
                 "Folder of the database and the log")
      ->capture_default_str();
  app.add_option("--socket", options.socket, "Unix socket to answer on")
      ->capture_default_str();
  app.add_option("--spool-dir", paths.invact_spool_dir,
                 "The one folder where relays leave what nobody took "
                 "(default: STATE/spool and those of $TMPDIR and /tmp)");
  app.add_option("--listen", options.listen, "HOST:PORT to answer on, too");
  app.add_option("--token-file", options.token_file,
                 "File of mode 0600 with the token that TCP callers must send");
  app.add_option("--tls-cert", options.tls_cert, "PEM certificate chain");
  app.add_option("--tls-key", options.tls_key, "PEM private key");
  app.add_option("--quota", quota,
                 "Size above which the oldest events are dropped (10GiB)");
  app.add_option("--idle-exit", options.idle_exit_seconds,
                 "Leave after so many seconds without a stream or call; "
                 "0: stay")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--lost-after", options.lost_after_seconds,
                 "Seconds after which a run without its relay is lost")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--foreground", options.foreground, "Log to stderr, too");
  app.add_option("--log", options.log_level, "How much to log")
      ->check(CLI::IsMember({"error", "info", "debug"}))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    app.exit(done);
    return std::optional<Options>();
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(error.what(), "; see: invactd --help"));
  }
  if (!quota.empty()) {
    absl::StatusOr<int64_t> bytes = ParseBytes(quota);
    if (!bytes.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--quota ", bytes.status().message()));
    }
    options.quota_bytes = *bytes;
  }
  paths.invact_state_dir = options.state_dir;
  options.state_dir = StateDir(paths);
  if (options.state_dir.empty()) {
    return absl::InvalidArgumentError(
        "no folder for the database: set INVACT_STATE_DIR or HOME, or give "
        "--state-dir");
  }
  options.spool_dirs = SpoolDirs(paths);
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  return options;
}

}  // namespace invact
