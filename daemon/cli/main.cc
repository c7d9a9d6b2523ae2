// invact: the command line. Parses, runs the chosen verb, says what went wrong.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "daemon/cli/shell.h"
#include "daemon/cli/values.h"
#include "daemon/cli/verbs.h"
#include "daemon/service/rpc_status.h"

namespace invact::cli {
namespace {

// The command of `invact run` and `invact compare` begins behind `--`, or with
// the first word that is no option: nothing of it is read as ours.
std::vector<std::string> TakeCommand(std::vector<std::string>* words) {
  const auto run = std::find_if(
      words->begin(), words->end(),
      [](const std::string& word) { return !absl::StartsWith(word, "-"); });
  std::vector<std::string> command;
  if (run == words->end() || (*run != "run" && *run != "compare")) {
    return command;
  }
  static const std::vector<std::string>& takes_value =
      *new std::vector<std::string>{
          "--policy",   "--budget",  "--plan",   "--name", "--rounds",
          "--policies", "--timeout", "--format", "--show", "--logs"};
  auto word = run + 1;
  while (word != words->end() && *word != "--" &&
         absl::StartsWith(*word, "-")) {
    const bool value = std::find(takes_value.begin(), takes_value.end(),
                                 *word) != takes_value.end();
    ++word;
    if (value && word != words->end()) ++word;
  }
  const auto begin = word != words->end() && *word == "--" ? word + 1 : word;
  command.assign(begin, words->end());
  words->erase(word, words->end());
  return command;
}

std::vector<std::string> VerbNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands({})) {
    names.push_back(verb->get_name());
  }
  return names;
}

// CLI11's words, and the verb or option that was probably meant.
absl::Status UsageError(const CLI::App& app, const CLI::ParseError& error,
                        const std::vector<std::string>& words) {
  std::string verb, what = absl::StrReplaceAll(error.what(), {{"\n", " "}});
  const std::vector<std::string> names = VerbNames(app);
  for (const std::string& word : words) {
    if (absl::StartsWith(word, "-")) continue;
    if (std::find(names.begin(), names.end(), word) != names.end()) {
      verb = word;
    } else {
      what = absl::StrCat("unknown verb \"", word, "\"; did you mean ",
                          Nearest(word, names), "?");
    }
    break;
  }
  return WithNext(
      absl::InvalidArgumentError(what),
      absl::StrCat("see: invact ", verb, verb.empty() ? "" : " ", "--help"));
}

void AddVerbs(CLI::App& app, Shell& shell) {
  AddRun(app, shell);
  AddEnv(app, shell);
  AddDaemon(app, shell);
  AddLs(app, shell);
  AddReport(app, shell);
  AddDiff(app, shell);
  AddCompare(app, shell);
  AddCheck(app, shell);
  AddKernels(app, shell);
  AddTimeline(app, shell);
  AddWatch(app, shell);
  AddExport(app, shell);
  AddRm(app, shell);
  AddDoctor(app, shell);
  AddVersion(app, shell);
}

int Main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  Shell shell(ReadEnvironment());
  std::vector<std::string> words(argv + 1, argv + argc);
  shell.command = TakeCommand(&words);
  // Also where the line does not parse.
  shell.json = std::find(words.begin(), words.end(), "--json") != words.end();

  CLI::App app(
      "Shows where the activation memory of a PyTorch job goes, and makes most "
      "of it\ndisappear.\n",
      "invact");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", std::string("invact ") + INVACT_VERSION);
  app.add_flag("--json", shell.json,
               "Data and errors as JSON, with every verb");
  AddVerbs(app, shell);
  // Behind the verbs: they would inherit it.
  app.footer(
      "RUN is an id, the beginning of one, a name, a job's id, or @last.\n"
      "Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 a check failed,\n"
      "5 no daemon answers.");
  std::vector<std::string> reversed(words.rbegin(), words.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::Success& done) {
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    absl::Status status = UsageError(app, error, words);
    shell.Complain(status);
    return ExitCodeOf(status);
  }
  absl::StatusOr<int> code = shell.action();
  if (!code.ok()) {
    shell.Complain(code.status());
    return ExitCodeOf(code.status());
  }
  if (!shell.output.status().ok()) {
    shell.Complain(shell.output.status());
    return ExitCodeOf(shell.output.status());
  }
  return *code;
}

}  // namespace
}  // namespace invact::cli

int main(int argc, char** argv) { return invact::cli::Main(argc, argv); }
