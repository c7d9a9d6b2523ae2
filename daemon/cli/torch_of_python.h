// Asks a Python which torch it would import, without importing it.
#ifndef INVACT_DAEMON_CLI_TORCH_OF_PYTHON_H_
#define INVACT_DAEMON_CLI_TORCH_OF_PYTHON_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/cli/options.h"

namespace invact::cli {

struct PythonFacts {
  std::string executable;     // as it names itself
  std::string version;        // "3.11.2"
  std::string torch_version;  // "2.11.0+cu130", empty: no torch
  std::string torch_path;     // torch/__init__.py
  bool preloaded = false;     // libinvact.so was mapped in it
};

// Runs `python` for some 50 ms, with LD_PRELOAD set to `preload` unless that
// is empty. kNotFound: no such program. kInternal: it is no Python.
absl::StatusOr<PythonFacts> AskPython(const Environment& environment,
                                      const std::string& python,
                                      const std::string& preload);

// Runs a program with the environment and without input; its stdout. Ends it
// after 20 s.
absl::StatusOr<std::string> OutputOf(
    const std::vector<std::string>& command,
    const std::vector<std::string>& environment);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_TORCH_OF_PYTHON_H_
