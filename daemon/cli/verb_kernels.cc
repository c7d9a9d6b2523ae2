// invact kernels: what a run found out about the kernels it used.
#include <memory>

#include "daemon/cli/choose.h"
#include "daemon/cli/verbs.h"
#include "daemon/report/kernels.h"

namespace invact::cli {
namespace {

absl::StatusOr<int> Kernels(Shell& shell, const Selection& selection) {
  absl::StatusOr<v1::ListKernelsResponse> kernels =
      FetchKernels(shell, selection);
  if (!kernels.ok()) return kernels.status();
  shell.output.Data(shell.json ? KernelsToJson(*kernels)
                               : KernelsToText(*kernels, shell.output.style()));
  return kOk;
}

}  // namespace

void AddKernels(CLI::App& app, Shell& shell) {
  CLI::App* verb = app.add_subcommand(
      "kernels", "How exact a run's kernels are, which are refused");
  auto selection = std::make_shared<Selection>();
  AddSelection(verb, selection.get());
  verb->callback([&shell, selection] {
    shell.action = [&shell, selection] { return Kernels(shell, *selection); };
  });
}

}  // namespace invact::cli
