// Plays an event file as a job's run: the real account, rows, rings and relay,
// no torch and no GPU. Waits where a ring is full, as no job would.
//
// usage: invact_replay_run FILE RELAY [NAME]
// Prints the run's id once the relay was started; environment as for a job.
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "plugin/events/event_file.h"
#include "plugin/events/memory_changes.h"
#include "plugin/events/memory_rows.h"
#include "plugin/ring/relay_launch.h"
#include "plugin/ring/shared_run.h"
#include "plugin/ring/text_arena.h"
#include "plugin/ring/writer.h"

namespace invact {
namespace {

int64_t Now(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

template <typename Ready>
void WaitFor(Ready ready) {
  while (!ready()) {
    timespec nap{0, 200000};
    nanosleep(&nap, nullptr);
  }
}

void Fill(const char* name, RunInfo* info) {
  uint64_t random;
  if (getrandom(&random, sizeof(random), 0) != sizeof(random)) std::exit(3);
  std::snprintf(info->run_id, sizeof(info->run_id), "%016lx", random);
  std::snprintf(info->name, sizeof(info->name), "%s", name);
  std::snprintf(info->job_id, sizeof(info->job_id), "%s", info->run_id);
  std::snprintf(info->policy, sizeof(info->policy), "observe");
  std::snprintf(info->torch_version, sizeof(info->torch_version), "2.11.0");
  std::snprintf(info->invact_version, sizeof(info->invact_version), "%s",
                INVACT_VERSION);
  gethostname(info->host, sizeof(info->host) - 1);
  info->pid = getpid();
  info->world_size = 1;
  info->started_wall_ns = Now(CLOCK_REALTIME);
  info->started_mono_ns = Now(CLOCK_MONOTONIC);
}

// Names as the job numbered them. What a file does not name is called by its
// number.
void Name(const EventFile& file, SharedRun* shared) {
  uint32_t scopes = 0;
  std::map<uint32_t, uint32_t> sites;  // to their scopes
  for (const Record& event : file.events) {
    if (event.site != kNoSite) scopes = std::max(scopes, event.site + 1);
    if (KindOf(event) == EventKind::kLabel && event.stream > 0 &&
        event.site != kNoSite) {
      sites[static_cast<uint32_t>(event.stream - 1)] = event.site;
    }
  }
  if (!file.scopes.empty()) {
    scopes = std::max(scopes, file.scopes.rbegin()->first + 1);
  }
  for (uint32_t i = 0; i < std::min(scopes, kMaxScopes); ++i) {
    const auto named = file.scopes.find(i);
    AppendScope(shared,
                named != file.scopes.end() ? named->second
                                           : "scope" + std::to_string(i),
                false);
  }
  const uint32_t last = sites.empty() ? 0 : sites.rbegin()->first;
  for (uint32_t i = 0; i <= std::min(last, kMaxSites - 1); ++i) {
    const auto at = sites.find(i);
    AppendSite(shared, at == sites.end() ? 0 : at->second, i % 3,
               "Op" + std::to_string(i) + "Backward0", "float32",
               Category::kActivation);
  }
}

void PushStep(SharedRun* shared, const Record& end, int64_t begin_ns,
              int64_t backward_ns) {
  StepTotalsPod totals = {};
  totals.index = end.step;
  totals.complete = 1;
  totals.phase = static_cast<uint32_t>(Phase::kDone);
  totals.begin_ns = begin_ns;
  totals.backward_begin_ns = backward_ns;
  totals.end_ns = static_cast<int64_t>(end.time_ns);
  totals.allocated_before = totals.allocated_instant = kUnknown;
  totals.peak_allocated = totals.peak_reserved = kUnknown;
  totals.saved_at_peak = totals.eliminated_at_peak = kUnknown;
  totals.device_forward_seconds = totals.device_backward_seconds =
      totals.device_step_seconds = -1;
  WaitFor([&] {
    return shared->steps.written.load() - shared->steps.read.load() <
           kStepSlots;
  });
  PushStepTotals(shared, totals);
  PublishTable(shared->last, &shared->last_slot, totals, nullptr, 0);
}

void PushRows(SharedRun* shared, const std::vector<MemoryRowPod>& rows) {
  const MemoryRowRing& ring = shared->memory_rows;
  WaitFor([&] {
    return ring.written.load() - ring.read.load() + rows.size() <=
           kMemoryRowSlots;
  });
  for (const MemoryRowPod& row : rows) PushMemoryRow(shared, row);
}

// The rows of a mark are told once torch's own numbers, which may follow it,
// are entered too.
struct Player {
  MemoryAccount account;
  EventKind mark = EventKind::kNone;  // whose rows are not told yet

  void Play(const Record& event, SharedRun* shared, MemoryChanges* changes) {
    const bool stats = KindOf(event) == EventKind::kAllocatorStats;
    if (!stats) Tell(event.device, shared);
    account.OnEvent(event);
    const EventKind kind = KindOf(event);
    if (kind == EventKind::kStepBegin || kind == EventKind::kStepEnd) {
      changes->TellLevelsIfDue(event.device, event.step, account);
    }
    if (stats) {
      Tell(event.device, shared);
    } else {
      mark = KindOf(event);
    }
  }
  void Tell(int device, SharedRun* shared) {
    PushRows(shared, RowsDue(mark, device, account));
    mark = EventKind::kNone;
  }
};

void Play(const EventFile& file, SharedRun* shared) {
  static MemoryChanges changes;
  changes.ShareWith(shared);
  std::map<int, std::unique_ptr<Player>> players;
  int64_t begin_ns = 0, backward_ns = 0, newest_step = -1;
  for (const Record& event : file.events) {
    auto& player = players[event.device];
    if (player == nullptr) {
      player = std::make_unique<Player>();
      player->account.TellChangesTo(&changes);
    }
    // Half of it stays free: no event, not even a mark that settles all
    // temporaries, has more changes here.
    WaitFor([&] {
      return MemoryRecordsWaiting(*shared) <= kMemoryRecordSlots / 2;
    });
    player->Play(event, shared, &changes);
    const EventKind kind = KindOf(event);
    const auto now = static_cast<int64_t>(event.time_ns);
    if (kind == EventKind::kStepBegin) begin_ns = now;
    if (kind == EventKind::kBackwardBegin) backward_ns = now;
    if (kind == EventKind::kStepEnd && event.step > newest_step) {
      PushStep(shared, event, begin_ns, backward_ns);
      newest_step = event.step;
    }
  }
  for (const auto& [device, player] : players) {
    player->Tell(device, shared);
    PushRows(shared, LastRows(device, player->account));
  }
}

int Run(const char* path, const char* relay, const char* name) {
  EventFile file;
  std::string error;
  if (!ReadEventFile(path, &file, &error)) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return 1;
  }
  int memfd = -1;
  SharedRun* shared = CreateSharedRun(&memfd, &error);
  if (shared != nullptr) Fill(name, &shared->info);
  if (shared == nullptr || !LaunchRelay(memfd, relay, &error)) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return 3;
  }
  close(memfd);
  std::printf("%s\n", shared->info.run_id);
  std::fflush(stdout);
  Name(file, shared);
  Play(file, shared);
  Control& control = shared->control;
  control.exit_code.store(0);
  control.ended_wall_ns.store(Now(CLOCK_REALTIME));
  control.state.store(static_cast<uint32_t>(GuestState::kFinished));
  return 0;
}

}  // namespace
}  // namespace invact

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: %s FILE RELAY [NAME]\n", argv[0]);
    return 2;
  }
  return invact::Run(argv[1], argv[2], argc > 3 ? argv[3] : "replay");
}
