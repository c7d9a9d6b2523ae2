#include "proto/paths.h"

#include <sys/un.h>

#include <algorithm>

namespace invact {

namespace {

constexpr size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path) - 1;

std::string Trimmed(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string UserTmp(const PathEnvironment& environment) {
  return "/tmp/invact-" + std::to_string(environment.uid);
}

bool IsPort(std::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= '0' && c <= '9'; }) &&
         std::stoi(std::string(text)) >= 1 &&
         std::stoi(std::string(text)) <= 65535;
}

bool IsLoopback(std::string_view host) {
  return host == "localhost" || host == "[::1]" ||
         (host.substr(0, 4) == "127." &&
          host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace

std::string StateDir(const PathEnvironment& environment) {
  if (!environment.invact_state_dir.empty()) {
    return Trimmed(environment.invact_state_dir);
  }
  if (!environment.xdg_state_home.empty()) {
    return Trimmed(environment.xdg_state_home) + "/invact";
  }
  if (environment.home.empty()) return "";
  return Trimmed(environment.home) + "/.local/state/invact";
}

std::string DefaultSocket(const PathEnvironment& environment) {
  if (!environment.xdg_runtime_dir.empty()) {
    return Trimmed(environment.xdg_runtime_dir) + "/invact/d.sock";
  }
  return UserTmp(environment) + "/d.sock";
}

std::vector<std::string> SpoolDirs(const PathEnvironment& environment) {
  if (!environment.invact_spool_dir.empty()) {
    return {Trimmed(environment.invact_spool_dir)};
  }
  std::vector<std::string> dirs;
  const std::string state = StateDir(environment);
  if (!state.empty()) dirs.push_back(state + "/spool");
  if (!environment.tmpdir.empty()) {
    dirs.push_back(Trimmed(environment.tmpdir) + "/invact-" +
                   std::to_string(environment.uid));
  }
  dirs.push_back(UserTmp(environment) + "/spool");
  return dirs;
}

bool ParseDaemonAddress(const PathEnvironment& environment, DaemonAddress* out,
                        std::string* error) {
  const std::string& given = environment.invact_daemon;
  *out = DaemonAddress();
  if (given.empty() || given.rfind("unix:", 0) == 0) {
    out->socket = given.empty() ? DefaultSocket(environment) : given.substr(5);
    if (out->socket.rfind("//", 0) == 0) out->socket.erase(0, 2);
    if (out->socket.empty() || out->socket[0] != '/') {
      *error = "INVACT_DAEMON=" + given +
               ": the socket's path must be absolute; write unix:/PATH";
      return false;
    }
    if (out->socket.size() > kMaxSocketPath) {
      *error = "the socket path has " + std::to_string(out->socket.size()) +
               " bytes, a Unix socket allows " +
               std::to_string(kMaxSocketPath) + ": " + out->socket +
               "; name a shorter one by INVACT_DAEMON=unix:PATH";
      return false;
    }
    return true;
  }
  out->unix_socket = false;
  const size_t colon = given.rfind(':');
  const std::string_view host =
      std::string_view(given).substr(0, colon == std::string::npos ? 0 : colon);
  const bool bracketed =
      host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (host.empty() || !IsPort(std::string_view(given).substr(colon + 1)) ||
      host.find_first_of("/ \t") != std::string_view::npos ||
      (!bracketed && host.find(':') != std::string_view::npos)) {
    *error = "INVACT_DAEMON=" + given +
             " is neither unix:PATH nor HOST:PORT (an IPv6 address stands in "
             "brackets: [::1]:7411)";
    return false;
  }
  out->host_port = given;
  out->loopback = IsLoopback(host);
  return true;
}

}  // namespace invact
