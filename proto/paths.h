// Where a user's state, socket and spools are: the one rule that the relay,
// the daemon and the command line follow. Pure functions of an environment
// that each process's options file fills in; nothing here reads it or touches
// the file system.
#ifndef INVACT_PROTO_PATHS_H_
#define INVACT_PROTO_PATHS_H_

#include <string>
#include <string_view>
#include <vector>

namespace invact {

// Values of the variables of these names; empty: not set.
struct PathEnvironment {
  std::string invact_daemon;     // INVACT_DAEMON
  std::string invact_state_dir;  // INVACT_STATE_DIR
  std::string invact_spool_dir;  // INVACT_SPOOL_DIR
  std::string xdg_state_home;    // XDG_STATE_HOME
  std::string xdg_runtime_dir;   // XDG_RUNTIME_DIR
  std::string home;              // HOME
  std::string tmpdir;            // TMPDIR
  unsigned uid = 0;              // of the process
};

// Database, log and lock. INVACT_STATE_DIR, else $XDG_STATE_HOME/invact, else
// ~/.local/state/invact. Empty where none of the three is set.
std::string StateDir(const PathEnvironment& environment);

// The daemon's Unix socket where nobody names another:
// $XDG_RUNTIME_DIR/invact/d.sock, else /tmp/invact-<uid>/d.sock.
std::string DefaultSocket(const PathEnvironment& environment);

// Folders for spools, in the order in which a relay tries them. One named by
// INVACT_SPOOL_DIR is the only one; else <state>/spool, $TMPDIR/invact-<uid>,
// /tmp/invact-<uid>/spool.
std::vector<std::string> SpoolDirs(const PathEnvironment& environment);

struct DaemonAddress {
  bool unix_socket = true;
  std::string socket;     // absolute path
  std::string host_port;  // HOST:PORT, [V6]:PORT
  bool loopback = true;   // nobody on the network is between
};

// INVACT_DAEMON ("unix:PATH" or "HOST:PORT"), else the default socket. False
// with what is wrong and what to write instead: another form, a relative path,
// a path that is longer than a Unix socket allows.
bool ParseDaemonAddress(const PathEnvironment& environment, DaemonAddress* out,
                        std::string* error);

}  // namespace invact

#endif  // INVACT_PROTO_PATHS_H_
