// Where the other parts of invact are: beside this program, so that a prefix
// may be moved as a whole.
#ifndef INVACT_DAEMON_CLI_INSTALL_H_
#define INVACT_DAEMON_CLI_INSTALL_H_

#include <string>
#include <vector>

namespace invact::cli {

struct Install {
  std::string bin;      // folder of this program
  std::string lib;      // folder of libinvact.so, whether it is there or not
  std::string library;  // libinvact.so, empty: not there
  std::string daemon;   // invactd, empty: not there or not executable
  std::string relay;    // <lib>/../bin/invact-relay, where the plugin looks
  bool relay_executable = false;
};

Install FindInstall();

// Torch versions that a plugin in `lib` serves, sorted: "2.11".
std::vector<std::string> Plugins(const std::string& lib);

// The plugin for that torch, by the loader's rule: the full version, then
// MAJOR.MINOR. Empty: none.
std::string PluginFor(const std::string& lib, const std::string& torch_version);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_INSTALL_H_
