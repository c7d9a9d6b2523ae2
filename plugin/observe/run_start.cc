#include "plugin/observe/run_start.h"

#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <new>

#include "plugin/guard.h"
#include "plugin/log.h"
#include "plugin/observe/recorder.h"
#include "plugin/observe/scope_stack.h"
#include "plugin/ring/relay_launch.h"
#include "plugin/ring/shared_run.h"

namespace invact {

namespace {

int64_t WallNs() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

template <size_t N>
void Copy(char (&to)[N], const std::string& from) {
  std::snprintf(to, N, "%s", from.c_str());
}

// 16 hex digits, unlike those of any other run.
std::string NewRunId() {
  uint64_t random = 0;
  if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
    random = static_cast<uint64_t>(WallNs()) * 0x9E3779B97F4A7C15ull ^
             static_cast<uint64_t>(getpid());
  }
  char id[17];
  std::snprintf(id, sizeof(id), "%016lx", random);
  return id;
}

void FillInfo(const RunFacts& facts, const std::string& run_id, RunInfo* info) {
  const Config& config = facts.config;
  Copy(info->run_id, run_id);
  Copy(info->name, config.run_name);
  Copy(info->job_id, config.job_id.empty() ? run_id : config.job_id);
  Copy(info->policy, config.policy_name);
  Copy(info->torch_version, facts.torch_version);
  Copy(info->invact_version, INVACT_VERSION);
  gethostname(info->host, sizeof(info->host) - 1);
  info->pid = getpid();
  info->rank = config.rank;
  info->local_rank = config.local_rank;
  info->world_size = config.world_size;
  info->restart = config.restart;
  info->started_wall_ns = WallNs();
  info->started_mono_ns = MonotonicNs();
  info->exact = config.exact || config.policy == Policy::kObserve ||
                config.policy == Policy::kRebuild ||
                config.policy == Policy::kCheckpoint;
  info->python = facts.python;
}

// Counting goes on in plain memory when nothing can be shared.
SharedRun* PrivateRun() {
  // Zero pages cost nothing until they are touched.
  void* memory = calloc(1, sizeof(SharedRun));
  return memory == nullptr ? nullptr : new (memory) SharedRun;
}

void AtExit(int status, void*) { Recorder::Get().Finish(status); }

}  // namespace

std::string RelayPath(const std::string& lib_dir) {
  return lib_dir + "/../bin/invact-relay";
}

SharedRun* StartRun(const RunFacts& facts) noexcept {
  const std::string run_id = NewRunId();
  std::string error;
  int memfd = -1;
  SharedRun* shared = CreateSharedRun(&memfd, &error);
  if (shared == nullptr) {
    SayTrouble("memory", "no shared memory (" + error +
                             "); totals are counted for the end line only");
    shared = PrivateRun();
    if (shared == nullptr) return nullptr;
  }
  FillInfo(facts, run_id, &shared->info);
  if (memfd >= 0) {
    if (!LaunchRelay(memfd, RelayPath(facts.lib_dir).c_str(), &error)) {
      SayTrouble("relay", error +
                              "; totals are counted for the end line only "
                              "(next: invact doctor)");
    }
    close(memfd);  // the mapping stays; the relay has its own descriptor
  }
  on_exit(AtExit, nullptr);
  SayStart(facts.config, run_id);
  return shared;
}

std::unique_ptr<LedgerLog> OpenLedgerLog(const Config& config) noexcept {
  if (!config.ledger_log) return nullptr;
  std::string path = config.ledger_log_file;
  if (!path.empty() && config.world_size > 1) {
    path += ".rank" + std::to_string(config.rank);
  }
  auto log = std::make_unique<LedgerLog>(path);
  if (!log->ok()) {
    SayTrouble("ledger-log", "can't write INVACT_LOG's file " + path + " (" +
                                 std::strerror(errno) + "); no ledger lines");
    return nullptr;
  }
  return log;
}

void FinishRun(SharedRun* shared, const Config& config, int64_t steps,
               int status) noexcept {
  Control& control = shared->control;
  // What the parent of the process sees of exit(status).
  control.exit_code.store(status & 0xff, std::memory_order_relaxed);
  control.ended_wall_ns.store(WallNs(), std::memory_order_relaxed);
  control.state.store(static_cast<uint32_t>(GuestState::kFinished),
                      std::memory_order_release);
  const SiteTable& last =
      shared->last[shared->last_slot.load(std::memory_order_relaxed)];
  const StepTotalsPod& totals = steps > 0 ? last.totals : shared->live.totals;
  SayEnd(config, shared->info.run_id, totals.baseline_bytes, totals.held_bytes,
         steps > 0);
}

}  // namespace invact
