#include "daemon/cli/after_run.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "daemon/cli/torch_of_python.h"

namespace invact::cli {
namespace {

using Stub = Client::Stub;

constexpr absl::Duration kLongestWait = absl::Seconds(10);
constexpr absl::Duration kSilentWait = absl::Seconds(1);
constexpr absl::Duration kBetweenLooks = absl::Milliseconds(25);
// The plugin's clock is read a moment before ours, on the same machine.
constexpr absl::Duration kClockSlack = absl::Seconds(2);
constexpr int kMostRuns = 1000;

std::string HostName() {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  return host;
}

absl::Time StartedAt(const v1::Run& run) {
  return absl::FromUnixSeconds(run.started_at().seconds()) +
         absl::Nanoseconds(run.started_at().nanos());
}

// The runs that this command began, of those that are stored.
absl::StatusOr<std::vector<v1::Run>> RunsOf(Client& client,
                                            const JobFacts& facts) {
  v1::ListRunsRequest request;
  request.set_job_id(facts.job.id);
  request.set_page_size(kMostRuns);
  auto response = client.Call(&Stub::ListRuns, request);
  if (!response.ok()) return response.status();
  static const std::string& host = *new std::string(HostName());
  std::vector<v1::Run> out;
  for (const v1::Run& run : response->runs()) {
    // An id that others may have too: those of this machine and time.
    if (facts.job.set ||
        (run.host() == host && StartedAt(run) >= facts.began - kClockSlack)) {
      out.push_back(run);
    }
  }
  return out;
}

absl::Status TellExit(Client& client, const JobFacts& facts) {
  v1::RecordExitRequest request;
  request.set_job_id(facts.job.id);
  request.set_pid(facts.end.pid);
  if (facts.end.signal != 0) {
    request.set_signal(facts.end.signal);
  } else {
    request.set_exit_code(facts.end.exit_code);
  }
  return client.Call(&Stub::RecordExit, request).status();
}

bool AllEnded(const std::vector<v1::Run>& runs) {
  return std::all_of(runs.begin(), runs.end(), [](const v1::Run& run) {
    return run.state() != "running";
  });
}

struct Outcome {
  std::vector<v1::Run> runs;
  bool relays_left = false;  // something is still on its way
  bool began = false;        // a relay was seen
};

absl::StatusOr<Outcome> WaitUntilStored(Shell& shell, Client& client,
                                        const SignalGate& gate,
                                        const JobFacts& facts) {
  const absl::Time began = absl::Now();
  const absl::Time deadline = began + kLongestWait;
  Outcome out;
  for (;;) {
    // Relays first: one that ends between the looks has delivered.
    out.relays_left = !RelaysOf(facts.job.marks).empty();
    out.began = out.began || out.relays_left;
    auto runs = RunsOf(client, facts);
    if (!runs.ok()) return runs.status();
    out.runs = *runs;
    // What a relay left on disk is adopted by the daemon within seconds.
    const bool missing = out.runs.empty() && out.began;
    if (!out.relays_left && !missing && AllEnded(out.runs)) return out;
    if (absl::Now() > deadline || gate.AskedToEnd()) return out;
    if (absl::Now() - began > kSilentWait) {
      shell.output.Progress("waiting until the run is stored (at most 10 s)");
    }
    absl::SleepFor(kBetweenLooks);
  }
}

// Programs that start the job where our environment does not reach.
bool CutsEnvironment(const std::string& program) {
  static constexpr const char* kNames[] = {
      "sudo",    "su",     "doas",      "docker",      "podman",
      "nerdctl", "enroot", "apptainer", "singularity", "ssh",
      "kubectl", "bwrap",  "chroot",    "systemd-run", "machinectl"};
  const std::string name = std::filesystem::path(program).filename();
  return std::find(std::begin(kNames), std::end(kNames), name) !=
         std::end(kNames);
}

// The Python that runs the command; empty: it is no Python program.
std::string PythonOf(const Environment& environment,
                     const std::string& program) {
  const auto is_python = [](const std::string& path) {
    return absl::StartsWith(std::string(std::filesystem::path(path).filename()),
                            "python");
  };
  if (is_python(program)) return program;
  std::vector<std::string> folders = absl::StrSplit(environment.path, ':');
  if (absl::StrContains(program, "/")) folders = {""};
  for (const std::string& folder : folders) {
    std::ifstream file(folder.empty() ? program : folder + "/" + program);
    std::string line;
    if (!std::getline(file, line)) continue;
    absl::string_view interpreter = line;
    if (!absl::ConsumePrefix(&interpreter, "#!")) return "";
    std::vector<std::string> words =
        absl::StrSplit(interpreter, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (!words.empty() && absl::EndsWith(words[0], "/env")) {
      words.erase(words.begin());
    }
    return !words.empty() && is_python(words[0]) ? words[0] : "";
  }
  return "";
}

}  // namespace

std::string WhyNoRun(const Shell& shell, const JobFacts& facts) {
  const std::string& program = facts.command[0];
  if (shell.environment.disable == "1") {
    return "no run began: INVACT_DISABLE=1 switches invact off";
  }
  if (facts.policy == "none") {
    return "no run began: policy none leaves the job alone";
  }
  if (facts.sightings.lost()) {
    return "no run began: the job ran torch without libinvact.so, so "
           "LD_PRELOAD was lost on the way; set it where the job starts: "
           "eval \"$(invact env)\"";
  }
  if (facts.sightings.libtorch()) {
    return "no run began: torch was loaded, but nothing was saved for "
           "backward (inference, torch.no_grad, or an end before the first "
           "step)";
  }
  if (CutsEnvironment(program)) {
    return absl::StrCat(
        "no run began: ", program,
        " may start its command with another environment, so LD_PRELOAD was "
        "lost; run invact inside: ",
        program, " ... invact run -- CMD");
  }
  const std::string python = PythonOf(shell.environment, program);
  if (!python.empty()) {
    auto asked = AskPython(shell.environment, python, "");
    if (asked.ok() && asked->torch_version.empty()) {
      return absl::StrCat("no run began: torch was never imported; ",
                          asked->executable, " has none");
    }
    if (asked.ok() &&
        PluginFor(shell.install.lib, asked->torch_version).empty()) {
      return absl::StrCat(
          "no run began: there is no plugin for torch ", asked->torch_version,
          " in ", shell.install.lib, "; next: scripts/setup --torch ",
          asked->torch_version.substr(0, asked->torch_version.find('+')),
          ", or invact doctor");
    }
  }
  return "no run began: torch was never imported, or it saved nothing for "
         "backward; next: invact doctor";
}

void AfterRun(Shell& shell, const SignalGate& gate, const JobFacts& facts) {
  absl::StatusOr<Client*> daemon = shell.DaemonAgain();
  if (!daemon.ok()) {
    if (!facts.said_no_daemon) {
      shell.output.Note(absl::StrCat(daemon.status().message(),
                                     " (what was recorded is spooled until a "
                                     "daemon comes)"));
    }
    return;
  }
  absl::Status told = TellExit(**daemon, facts);
  absl::StatusOr<Outcome> outcome =
      told.ok() ? WaitUntilStored(shell, **daemon, gate, facts) : told;
  shell.output.Progress("");
  if (!outcome.ok()) {
    shell.output.Note(absl::StrCat(
        "the daemon was lost: ", outcome.status().message(),
        " (what it has not stored is spooled until the next one starts)"));
    return;
  }
  if (outcome->runs.empty()) {
    if (!outcome->began) {
      shell.output.Note(WhyNoRun(shell, facts));
    } else if (outcome->relays_left) {
      shell.output.Note(
          "the run is still on its way to the daemon; see it "
          "with: invact ls");
    } else {
      shell.output.Note(
          "the run did not reach the daemon; next: invact "
          "doctor");
    }
    return;
  }
  if (!AllEnded(outcome->runs)) {
    shell.output.Note(absl::StrCat(
        "run ", outcome->runs.front().id().substr(0, 4),
        " is not complete yet (something of the job still runs); see it "
        "with: invact watch ",
        outcome->runs.front().id().substr(0, 4)));
  }
}

}  // namespace invact::cli
