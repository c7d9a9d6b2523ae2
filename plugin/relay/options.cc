#include "plugin/relay/options.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

namespace invact {

namespace {

std::string Env(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

template <typename Number>
bool ParseNumber(const char* text, Number* out) {
  const char* end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, *out);
  return error == std::errc() && rest == end;
}

// The relay leaves the job's folder, which a relative path is meant from.
std::string Absolute(const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  char* folder = getcwd(nullptr, 0);
  if (folder == nullptr) return path;
  std::string absolute = std::string(folder) + "/" + path;
  free(folder);
  return absolute;
}

}  // namespace

bool ReadRelayOptions(int argc, const char* const* argv, RelayOptions* out) {
  if (argc != 4 || !ParseNumber(argv[1], &out->trainer) ||
      !ParseNumber(argv[2], &out->memfd) ||
      !ParseNumber(argv[3], &out->trainer_started) || out->trainer <= 0) {
    return false;
  }
  PathEnvironment environment;
  environment.invact_daemon = Env("INVACT_DAEMON");
  environment.invact_state_dir = Env("INVACT_STATE_DIR");
  environment.invact_spool_dir = Env("INVACT_SPOOL_DIR");
  environment.xdg_state_home = Env("XDG_STATE_HOME");
  environment.xdg_runtime_dir = Env("XDG_RUNTIME_DIR");
  environment.home = Env("HOME");
  environment.tmpdir = Env("TMPDIR");
  environment.uid = geteuid();
  for (const std::string& dir : SpoolDirs(environment)) {
    out->spool_dirs.push_back(Absolute(dir));
  }
  out->token_file = Absolute(Env("INVACT_TOKEN_FILE"));
  if (!ParseDaemonAddress(environment, &out->daemon, &out->daemon_error) &&
      out->daemon_error.empty()) {
    out->daemon_error = "INVACT_DAEMON names no address";
  }
  return true;
}

}  // namespace invact
