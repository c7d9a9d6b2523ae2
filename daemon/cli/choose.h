// Which run a verb is about, and its report or kernels.
#ifndef INVACT_DAEMON_CLI_CHOOSE_H_
#define INVACT_DAEMON_CLI_CHOOSE_H_

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "daemon/cli/shell.h"
#include "invact/v1/run.pb.h"

namespace invact::cli {

struct Selection {
  std::string run = "@last";
  std::optional<int> rank;
  std::string step = "last";
};

// [RUN] and --rank.
void AddSelection(CLI::App* verb, Selection* selection);

// Where the selection is a job of several ranks and names none of them, a note
// says which one is shown.
absl::StatusOr<v1::Report> FetchReport(Shell& shell,
                                       const Selection& selection);

absl::StatusOr<v1::ListKernelsResponse> FetchKernels(
    Shell& shell, const Selection& selection);

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_CHOOSE_H_
