// One function a verb: adds it to the command line and, where it is chosen,
// sets shell.action. Each stands in verb_<name>.cc.
#ifndef INVACT_DAEMON_CLI_VERBS_H_
#define INVACT_DAEMON_CLI_VERBS_H_

#include <CLI/App.hpp>

#include "daemon/cli/shell.h"

namespace invact::cli {

void AddRun(CLI::App& app, Shell& shell);
void AddEnv(CLI::App& app, Shell& shell);
void AddDaemon(CLI::App& app, Shell& shell);
void AddLs(CLI::App& app, Shell& shell);
void AddReport(CLI::App& app, Shell& shell);
void AddDiff(CLI::App& app, Shell& shell);
void AddCompare(CLI::App& app, Shell& shell);
void AddCheck(CLI::App& app, Shell& shell);
void AddKernels(CLI::App& app, Shell& shell);
void AddTimeline(CLI::App& app, Shell& shell);
void AddWatch(CLI::App& app, Shell& shell);
void AddExport(CLI::App& app, Shell& shell);
void AddRm(CLI::App& app, Shell& shell);
void AddDoctor(CLI::App& app, Shell& shell);
void AddVersion(CLI::App& app, Shell& shell);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_VERBS_H_
