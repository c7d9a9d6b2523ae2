#include "plugin/fuse/fused.h"

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <unordered_map>

#include "plugin/fuse/compiled_files.h"
#include "plugin/fuse/nvrtc.h"
#include "plugin/fuse/source.h"
#include "plugin/fuse/verify.h"
#include "plugin/guard.h"
#include "plugin/log.h"
#include "plugin/observe/device_state.h"

namespace invact::fuse {

namespace {

struct Entry {
  FusedKernel kernel;
  std::atomic<FusedState> state{FusedState::kPending};
  std::string reason;  // written before `state` says kRefused
};

constexpr size_t kMostPrograms = 512;
constexpr int kMostDevices = 64;

using Table = std::unordered_map<Program, std::unique_ptr<Entry>, ProgramHash>;

// Leaked: the worker may outlive static objects.
struct Shop {
  std::shared_mutex mutex;  // of `tables`, not of what entries point to
  Table tables[kMostDevices];
  std::string folder;

  std::mutex work_mutex;
  std::condition_variable work_came;
  std::deque<Entry*> work;
  bool started = false, stop = false;
  std::thread worker;
};
Shop& TheShop() {
  static auto* shop = new Shop;
  return *shop;
}

// Ends the worker while CUDA can still be called: it waits for one program at
// most. A forked child has no worker.
struct Stopper {
  ~Stopper() {
    if (g_forked_child.load()) return;
    Shop& shop = TheShop();
    {
      std::lock_guard lock(shop.work_mutex);
      shop.stop = true;
    }
    shop.work_came.notify_all();
    if (shop.worker.joinable()) shop.worker.join();
  }
};

std::string Make(FusedKernel* kernel) {
  if (!DriverFound()) return "CUDA's driver is not loaded";
  const RelaxedCapture relaxed;
  const c10::DeviceGuard guard(
      at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(kernel->device)));
  if (!EnterDevice(kernel->device)) return "the device has no context";
  const int arch = ArchOf(kernel->device);
  if (arch < 80) return "the device is older than compute capability 8.0";
  const std::string source = Source(kernel->program);
  const CompiledFiles files(TheShop().folder);
  const std::string key =
      "sm_" + std::to_string(arch) + " nvrtc " + NvrtcVersion() + "\n" + source;
  std::string code = files.Read(key);
  if (code.empty()) {
    Compiled compiled = Compile(source, arch);
    if (!compiled.error.empty()) return compiled.error;
    code = std::move(compiled.code);
    files.Write(key, code);
  }
  if (std::string error =
          LoadFunctions(code, &kernel->vector, &kernel->element);
      !error.empty()) {
    return error;
  }
  return Verify(*kernel);
}

void Serve(Entry* entry) {
  try {
    entry->reason = Make(&entry->kernel);
  } catch (const std::exception& error) {
    entry->reason = error.what();
    entry->reason.resize(
        std::min(entry->reason.find('\n'), entry->reason.size()));
    if (entry->reason.empty()) entry->reason = "an unnamed error";
  }
  entry->state.store(
      entry->reason.empty() ? FusedState::kReady : FusedState::kRefused,
      std::memory_order_release);
}

void Work() {
  Shop& shop = TheShop();
  while (true) {
    Entry* entry;
    {
      std::unique_lock lock(shop.work_mutex);
      shop.work_came.wait(lock,
                          [&] { return shop.stop || !shop.work.empty(); });
      if (shop.stop) return;
      entry = shop.work.front();
      shop.work.pop_front();
    }
    Serve(entry);
  }
}

// The job's signals are not for the worker.
void StartWorker(Shop* shop) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    shop->worker = std::thread(Work);
    shop->started = true;
  } catch (const std::exception& error) {
    SayTrouble("fuse-worker", error.what());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  static const Stopper stopper;
}

void Ask(const Program& program, int device) {
  Shop& shop = TheShop();
  auto fresh = std::make_unique<Entry>();
  fresh->kernel.program = program;
  fresh->kernel.device = device;
  fresh->reason = WhyRefused(program);
  const bool refused = !fresh->reason.empty();
  if (refused) fresh->state = FusedState::kRefused;
  Entry* entry = fresh.get();
  {
    std::lock_guard lock(shop.mutex);
    if (shop.tables[device].size() >= kMostPrograms) return;
    if (!shop.tables[device].emplace(program, std::move(fresh)).second) return;
  }
  if (refused) return;
  std::lock_guard lock(shop.work_mutex);
  if (!shop.started) StartWorker(&shop);
  shop.work.push_back(entry);
  shop.work_came.notify_one();
}

std::string OpsOf(const Program& program) {
  std::string text;
  for (const Step& step : program.steps) {
    text += (text.empty() ? "" : " ") + std::string(OpName(step.op));
  }
  return text;
}

FusedFinding Describe(const Program& program, const Entry* entry, int device) {
  FusedFinding finding;
  finding.ops = OpsOf(program);
  finding.device = "cuda:" + std::to_string(device);
  if (entry == nullptr) return finding;
  finding.state = entry->state.load(std::memory_order_acquire);
  if (finding.state == FusedState::kRefused) finding.reason = entry->reason;
  return finding;
}

bool Served(at::Device device) {
  return device.is_cuda() && device.index() >= 0 &&
         device.index() < kMostDevices && !g_forked_child.load();
}

}  // namespace

void KeepCompiledIn(const std::string& folder) noexcept {
  TheShop().folder = folder;
}

const FusedKernel* FindFused(const Program& program,
                             at::Device device) noexcept {
  if (!Served(device)) return nullptr;
  try {
    Shop& shop = TheShop();
    {
      std::shared_lock lock(shop.mutex);
      const Table& table = shop.tables[device.index()];
      if (const auto found = table.find(program); found != table.end()) {
        const Entry& entry = *found->second;
        return entry.state.load(std::memory_order_acquire) == FusedState::kReady
                   ? &entry.kernel
                   : nullptr;
      }
    }
    if (!StreamCaptured(device.index())) Ask(program, device.index());
  } catch (const std::exception& error) {
    SayTrouble("fuse", error.what());
  }
  return nullptr;
}

std::vector<FusedFinding> FusedFindings() {
  Shop& shop = TheShop();
  std::shared_lock lock(shop.mutex);
  std::vector<FusedFinding> findings;
  for (int device = 0; device < kMostDevices; ++device) {
    for (const auto& [program, entry] : shop.tables[device]) {
      findings.push_back(Describe(program, entry.get(), device));
    }
  }
  return findings;
}

FusedFinding FindingOf(const Program& program, at::Device device) {
  Shop& shop = TheShop();
  std::shared_lock lock(shop.mutex);
  const Table& table = shop.tables[device.index()];
  const auto found = table.find(program);
  return Describe(program, found == table.end() ? nullptr : found->second.get(),
                  device.index());
}

}  // namespace invact::fuse
