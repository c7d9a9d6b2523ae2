// invact env: attaches what a shell starts from now on.
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "daemon/cli/preload.h"
#include "daemon/cli/verbs.h"
#include "daemon/report/json_parts.h"

namespace invact::cli {
namespace {

std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

absl::StatusOr<int> Env(Shell& shell, bool unset) {
  std::string value = WithoutLibrary(shell.environment.preload);
  if (!unset) {
    absl::StatusOr<std::string> with =
        WithLibrary(shell.install, shell.environment.preload);
    if (!with.ok()) return with.status();
    value = *with;
  }
  if (shell.json) {
    Json out;
    out["schema"] = "invact.env/v1";
    out["set"] = Json::object();
    if (!value.empty()) out["set"]["LD_PRELOAD"] = value;
    out["unset"] = Json::array();
    if (value.empty()) out["unset"].push_back("LD_PRELOAD");
    shell.output.Data(Dump(out));
  } else if (value.empty()) {
    shell.output.Data("unset LD_PRELOAD\n");
  } else {
    shell.output.Data(absl::StrCat("export LD_PRELOAD=", Quoted(value), "\n"));
  }
  return kOk;
}

}  // namespace

void AddEnv(CLI::App& app, Shell& shell) {
  CLI::App* verb = app.add_subcommand(
      "env", "Attach what a shell starts: eval \"$(invact env)\"");
  auto unset = std::make_shared<bool>(false);
  verb->add_flag("--unset", *unset, "Undo it: eval \"$(invact env --unset)\"");
  verb->callback([&shell, unset] {
    shell.action = [&shell, unset] { return Env(shell, *unset); };
  });
}

}  // namespace invact::cli
