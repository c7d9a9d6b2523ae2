// Plays a training process for the relay: the real writer, the real launch,
// no torch. Every record carries its own number, so that a reader of the
// database can tell what is missing, doubled or in the wrong order.
//
// usage: ring_job RELAY PROGRESS_FILE [name=value...]
//   threads  writers of records                                     (1)
//   rate     records a second and writer, 0: as fast as they go      (20000)
//   steps    ends after so many; 0: at the end of its input          (0)
//   step_us  length of a step                                        (1000)
//   sites    call sites                                              (20)
//   end      exit code; "_exit": without exit handlers; "abort"      (0)
//   oom      1: an out-of-memory was seen                            (0)
//   kernels  calibrated at the start; the first again at the end     (0)
//   name     run name                                                (job)
// Prints the run's id when the relay was started, and at the end what wait()
// knows of children. PROGRESS_FILE holds Progress, also after a kill.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "plugin/ring/relay_launch.h"
#include "plugin/ring/shared_run.h"
#include "plugin/ring/text_arena.h"
#include "plugin/ring/writer.h"

namespace {

using invact::SharedRun;

// Little endian 64-bit words in this order.
struct Progress {
  std::atomic<int64_t> steps;       // complete, and pushed
  std::atomic<int64_t> step_ns;     // CLOCK_MONOTONIC of the last one's end
  std::atomic<int64_t> records;     // pushed or dropped
  std::atomic<int64_t> dropped;     // by full rings, as the writer counted
  std::atomic<int64_t> slowest_ns;  // the longest push
};

int64_t MonoNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

void Fill(SharedRun* shared, const std::string& name) {
  uint64_t random;
  if (getrandom(&random, sizeof(random), 0) != sizeof(random)) std::exit(3);
  invact::RunInfo& info = shared->info;
  std::snprintf(info.run_id, sizeof(info.run_id), "%016lx", random);
  std::snprintf(info.name, sizeof(info.name), "%s", name.c_str());
  std::snprintf(info.job_id, sizeof(info.job_id), "%s", info.run_id);
  std::snprintf(info.policy, sizeof(info.policy), "invert");
  std::snprintf(info.torch_version, sizeof(info.torch_version), "2.11.0");
  std::snprintf(info.invact_version, sizeof(info.invact_version), "0.1.0");
  gethostname(info.host, sizeof(info.host) - 1);
  info.pid = getpid();
  info.world_size = 1;
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  info.started_wall_ns = int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
  info.started_mono_ns = MonoNs();
}

void Write(SharedRun* shared, int writer, int64_t rate, Progress* progress,
           const std::atomic<bool>* stop) {
  const int64_t began = MonoNs();
  for (int64_t n = 0; !stop->load(std::memory_order_relaxed); ++n) {
    while (rate > 0 && n * 1000000000 > (MonoNs() - began) * rate) {
      timespec nap{0, 200000};
      nanosleep(&nap, nullptr);
      if (stop->load()) return;
    }
    invact::Record record = {};
    record.time_ns = static_cast<uint64_t>(MonoNs());
    record.bytes = n;
    record.stream = static_cast<uint64_t>(writer);
    record.site = 1;
    record.step = static_cast<uint32_t>(progress->steps.load());
    record.kind = static_cast<uint8_t>(invact::EventKind::kSave);
    record.device = -1;
    record.thread = static_cast<uint32_t>(writer);
    invact::PushRecord(shared, record);
    const int64_t took = MonoNs() - static_cast<int64_t>(record.time_ns);
    if (took > progress->slowest_ns.load(std::memory_order_relaxed)) {
      progress->slowest_ns.store(took, std::memory_order_relaxed);
    }
    progress->records.fetch_add(1);
  }
}

void Step(SharedRun* shared, int64_t index, int sites, int64_t begin_ns) {
  std::vector<invact::SiteRow> rows(static_cast<size_t>(sites) + 1);
  invact::StepTotalsPod totals = {};
  for (int site = 1; site <= sites; ++site) {
    invact::SiteRow& row = rows[static_cast<size_t>(site)];
    row.touched = 1;
    row.baseline_bytes = 1000 * site + index;
    row.held_bytes = 600 * site;
    row.side_bytes = 10 * site;
    row.action = static_cast<uint8_t>(invact::Action::kInvert);
    totals.baseline_bytes += row.baseline_bytes;
    totals.held_bytes += row.held_bytes;
    totals.side_bytes += row.side_bytes;
  }
  totals.index = index;
  totals.complete = 1;
  totals.phase = static_cast<uint32_t>(invact::Phase::kDone);
  totals.by_category[0] = totals.baseline_bytes;
  totals.begin_ns = begin_ns;
  totals.backward_begin_ns = totals.end_ns = MonoNs();
  totals.allocated_before = totals.allocated_instant = invact::kUnknown;
  totals.peak_allocated = 1 << 20;
  totals.peak_reserved = totals.saved_at_peak = invact::kUnknown;
  totals.saved_tensors = sites;
  totals.device_forward_seconds = totals.device_backward_seconds =
      totals.device_step_seconds = -1;
  const auto count = static_cast<uint32_t>(rows.size());
  invact::PublishTable(shared->last, &shared->last_slot, totals, rows.data(),
                       count);
  invact::PublishTable(shared->max, &shared->max_slot, totals, rows.data(),
                       count);
  invact::PushStepTotals(shared, totals);
}

// Its errors are 1, ..., 6 times `unit`.
void Calibrate(SharedRun* shared, uint32_t number, double unit) {
  invact::KernelEntry entry = {};
  entry.op = invact::AppendText(shared, "op" + std::to_string(number));
  entry.dtype = invact::AppendText(shared, "bfloat16");
  entry.device = invact::AppendText(shared, "cpu");
  entry.library = invact::AppendText(shared, "built-in");
  entry.side_bits = 1;
  entry.stated_max = unit;
  entry.stated_rms = 2 * unit;
  entry.floor_max = 3 * unit;
  entry.floor_rms = 4 * unit;
  entry.error_max = 5 * unit;
  entry.error_rms = 6 * unit;
  invact::PutKernel(shared, number, entry);
}

bool InputEnded() {
  pollfd input = {0, POLLIN | POLLHUP, 0};
  char byte;
  return poll(&input, 1, 0) > 0 && read(0, &byte, 1) <= 0;
}

void Nap(int64_t until_ns) {
  while (MonoNs() < until_ns) {
    timespec nap{0, 100000};
    nanosleep(&nap, nullptr);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  std::map<std::string, std::string> options = {
      {"threads", "1"},    {"rate", "20000"}, {"steps", "0"},
      {"step_us", "1000"}, {"sites", "20"},   {"end", "0"},
      {"oom", "0"},        {"name", "job"},   {"kernels", "0"}};
  for (int i = 3; i < argc; ++i) {
    const std::string option = argv[i];
    const size_t equals = option.find('=');
    if (equals == std::string::npos ||
        options.count(option.substr(0, equals)) == 0) {
      std::fprintf(stderr, "ring_job: no such option: %s\n", argv[i]);
      return 2;
    }
    options[option.substr(0, equals)] = option.substr(equals + 1);
  }
  const auto number = [&](const char* name) {
    return std::stol(options[name]);
  };

  const int file = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (file < 0 || ftruncate(file, sizeof(Progress)) != 0) return 3;
  auto* progress = static_cast<Progress*>(mmap(
      nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  std::string error;
  int memfd = -1;
  SharedRun* shared = invact::CreateSharedRun(&memfd, &error);
  if (shared == nullptr || progress == MAP_FAILED) return 3;
  Fill(shared, options["name"]);
  const auto sites = static_cast<int>(number("sites"));
  invact::AppendScope(shared, "", false);
  invact::AppendSite(shared, 0, 0, "", "", invact::Category::kActivation);
  for (int site = 1; site <= sites; ++site) {
    const uint32_t scope = invact::AppendScope(
        shared, "model.layers." + std::to_string(site), true);
    invact::AppendSite(shared, scope, 0, "GeluBackward0", "float32",
                       invact::Category::kActivation);
  }
  if (!invact::LaunchRelay(memfd, argv[1], &error)) {
    std::fprintf(stderr, "ring_job: %s\n", error.c_str());
    return 3;
  }
  close(memfd);
  std::printf("%s\n", shared->info.run_id);
  std::fflush(stdout);

  const auto kernels = static_cast<uint32_t>(number("kernels"));
  for (uint32_t n = 0; n < kernels; ++n) Calibrate(shared, n, 0.5);
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int writer = 0; writer < number("threads"); ++writer) {
    writers.emplace_back(Write, shared, writer, number("rate"), progress,
                         &stop);
  }
  const int64_t steps = number("steps");
  const int64_t step_ns = number("step_us") * 1000;
  for (int64_t index = 0; steps == 0 ? !InputEnded() : index < steps; ++index) {
    const int64_t begin = MonoNs();
    Nap(begin + step_ns);
    Step(shared, index, sites, begin);
    progress->step_ns.store(MonoNs());
    progress->steps.store(index + 1);
  }
  stop.store(true);
  for (std::thread& writer : writers) writer.join();
  for (const invact::EventRing& ring : shared->rings) {
    progress->dropped.fetch_add(static_cast<int64_t>(ring.dropped.load()));
  }
  invact::Control& control = shared->control;
  progress->dropped.fetch_add(
      static_cast<int64_t>(control.ringless_dropped.load()));
  if (kernels > 0) Calibrate(shared, 0, 0.25);
  if (number("oom") != 0) {
    control.oom_phase = static_cast<uint32_t>(invact::Phase::kForward);
    control.oom_step = progress->steps.load();
    control.oom_requested_bytes = 512 << 20;
    control.oom_saved_bytes = int64_t{61} << 30;
    control.oom_scope = 1;
    control.oom_seen.store(1);
  }
  const pid_t child = wait(nullptr);
  std::printf("%s\n", child < 0 && errno == ECHILD ? "no child" : "a child");
  std::fflush(stdout);

  const std::string end = options["end"];
  if (end == "_exit") _exit(7);
  if (end == "abort") std::abort();
  control.exit_code.store(std::stoi(end));
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  control.ended_wall_ns.store(int64_t{now.tv_sec} * 1000000000 + now.tv_nsec);
  control.state.store(static_cast<uint32_t>(invact::GuestState::kFinished));
  return std::stoi(end);
}
