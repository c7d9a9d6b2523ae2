#include "daemon/cli/job.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace invact::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kRelayName[] = "invact-relay";
constexpr int kDeepest = 6;  // srun, sh, torchrun, python: deep enough

std::string RandomId() {
  uint64_t random = 0;
  if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
    random = static_cast<uint64_t>(
                 std::chrono::system_clock::now().time_since_epoch().count()) ^
             static_cast<uint64_t>(getpid());
  }
  char id[24];
  std::snprintf(id, sizeof(id), "%012llx",
                static_cast<unsigned long long>(random >> 16));
  return id;
}

// torchrun's --rdzv-id, in its four spellings; empty: none, or "none".
std::string RendezvousId(const std::vector<std::string>& command) {
  std::string id;
  for (size_t i = 0; i < command.size() && id.empty(); ++i) {
    for (const char* option : {"--rdzv-id", "--rdzv_id"}) {
      absl::string_view word = command[i];
      if (!absl::ConsumePrefix(&word, option)) continue;
      if (absl::ConsumePrefix(&word, "=")) {
        id = std::string(word);
      } else if (word.empty() && i + 1 < command.size()) {
        id = command[i + 1];
      }
    }
  }
  return id == "none" ? "" : id;
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::vector<std::string> EnvironmentOf(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/environ"), std::ios::binary);
  std::vector<std::string> out;
  for (std::string entry; std::getline(file, entry, '\0');) {
    out.push_back(entry);
  }
  return out;
}

std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> out;
  std::error_code error;
  for (const auto& task :
       fs::directory_iterator(absl::StrCat("/proc/", pid, "/task"), error)) {
    std::ifstream file(task.path() / "children");
    for (pid_t child; file >> child;) out.push_back(child);
  }
  return out;
}

}  // namespace

JobId ChooseJobId(const Environment& environment,
                  const std::vector<std::string>& command) {
  JobId out;
  if (!environment.job_id.empty()) {
    out.id = environment.job_id;
    out.marks = {"INVACT_JOB_ID=" + out.id};
  } else if (!environment.slurm_job.empty() &&
             !environment.slurm_step.empty()) {
    out.id = absl::StrCat("slurm-", environment.slurm_job, ".",
                          environment.slurm_step);
    out.marks = {"SLURM_JOB_ID=" + environment.slurm_job,
                 "SLURM_STEP_ID=" + environment.slurm_step};
  } else if (!environment.elastic_run.empty() &&
             environment.elastic_run != "none") {
    out.id = environment.elastic_run;
    out.marks = {"TORCHELASTIC_RUN_ID=" + out.id};
  } else if (std::string id = RendezvousId(command); !id.empty()) {
    out.id = id;
    out.marks = {"TORCHELASTIC_RUN_ID=" + out.id};
  } else {
    // In a batch script: each command of it is a job, its srun steps are not.
    out.id =
        environment.slurm_job.empty()
            ? "job-" + RandomId()
            : absl::StrCat("slurm-", environment.slurm_job, "-", RandomId());
    out.set = true;
    out.marks = {"INVACT_JOB_ID=" + out.id};
  }
  return out;
}

std::vector<pid_t> RelaysOf(const std::vector<std::string>& marks) {
  std::vector<pid_t> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid) ||
        FirstLine(entry.path() / "comm") != kRelayName) {
      continue;
    }
    const std::vector<std::string> has = EnvironmentOf(pid);
    if (std::all_of(marks.begin(), marks.end(),
                    [&](const std::string& mark) {
                      return std::find(has.begin(), has.end(), mark) !=
                             has.end();
                    }) &&
        !has.empty()) {
      out.push_back(pid);
    }
  }
  return out;
}

void Sightings::Look(pid_t root) {
  // Once torch was seen where we are, there is nothing left to find out.
  if (libtorch_ && !lost_) return;
  LookAt(root, 0);
}

void Sightings::LookAt(pid_t pid, int depth) {
  bool torch = false, ours = false;
  std::ifstream maps(absl::StrCat("/proc/", pid, "/maps"));
  for (std::string line; std::getline(maps, line);) {
    torch = torch || absl::StrContains(line, "/libtorch_cpu.so");
    ours = ours || absl::StrContains(line, "/libinvact.so");
    if (torch && ours) break;
  }
  libtorch_ = libtorch_ || torch;
  libinvact_ = libinvact_ || ours;
  lost_ = lost_ || (torch && !ours);
  if (depth == kDeepest) return;
  for (pid_t child : ChildrenOf(pid)) LookAt(child, depth + 1);
}

}  // namespace invact::cli
