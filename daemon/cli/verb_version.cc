// invact version: of this program and what lies beside it.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/cli/verbs.h"
#include "daemon/ingest/validate.h"
#include "daemon/report/tool_json.h"
#include "daemon/store/schema.h"

namespace invact::cli {
namespace {

absl::StatusOr<int> Version(Shell& shell) {
  VersionFacts facts;
  facts.version = INVACT_VERSION;
  facts.protocol = absl::StrCat(kProtocolMajor, ".", kProtocolMinor);
  facts.database = SchemaVersion();
  facts.plugins = Plugins(shell.install.lib);
  shell.output.Data(
      shell.json
          ? VersionToJson(facts)
          : absl::StrCat(
                "invact ", facts.version, "\nprotocol ", facts.protocol,
                "\ndatabase ", facts.database, "\nplugins  ",
                facts.plugins.empty()
                    ? absl::StrCat("none in ", shell.install.lib)
                    : absl::StrCat("torch ", absl::StrJoin(facts.plugins, ", "),
                                   " in ", shell.install.lib),
                "\n"));
  return kOk;
}

}  // namespace

void AddVersion(CLI::App& app, Shell& shell) {
  app.add_subcommand("version",
                     "Versions of invact, protocol, database, plugins")
      ->callback(
          [&shell] { shell.action = [&shell] { return Version(shell); }; });
}

}  // namespace invact::cli
