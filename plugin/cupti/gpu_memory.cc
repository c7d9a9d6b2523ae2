#include "plugin/cupti/gpu_memory.h"

#include <dlfcn.h>

#include <exception>

#include "plugin/cupti/channel.h"
#include "plugin/cupti/other_tool.h"
#include "plugin/cupti/sample.h"
#include "plugin/events/memory_events.h"
#include "plugin/events/summary.h"
#include "plugin/log.h"
#include "plugin/observe/import_slot.h"
#include "plugin/observe/recorder.h"
#include "plugin/observe/scope_stack.h"
#include "plugin/ring/writer.h"

namespace invact {

namespace {

constexpr int64_t kPeriodNs = 250'000'000;
constexpr int64_t kFirstSteps = 4;  // are sampled each

enum class Started { kNo, kUnderWay, kDone };
std::atomic<Started> g_started{Started::kNo};
Config::Cupti g_mode = Config::Cupti::kOff;
std::atomic<bool> g_prepared{false};
std::atomic<int64_t> g_next_ns{0};
std::atomic_flag g_sampling = ATOMIC_FLAG_INIT;

void CuptiIsOff(const std::string& why) {
  SayTrouble("cupti", "CUPTI is off (" + why +
                          "); memory of other libraries is not told apart");
}

// The last that at::CUDAHooks::init calls of libc10_cuda: CUDA is there, and
// nothing was allocated.
using InitAccess = void (*)(int64_t devices);
constexpr char kInitAccess[] = "_ZN3c104cuda6detail21init_p2p_access_cacheEl";
InitAccess g_init_access = nullptr;

void AfterCudaInit(int64_t devices) {
  g_init_access(devices);
  if (GpuMemoryWanted()) StartGpuMemory();
}

void WatchCudaInit() {
  constexpr char kLibrary[] = "libtorch_cuda.so";
  void* library = dlopen(kLibrary, RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return;
  g_init_access = reinterpret_cast<InitAccess>(dlsym(library, kInitAccess));
  if (g_init_access == nullptr) return;
  ImportPatch patch[] = {{kInitAccess, reinterpret_cast<void*>(AfterCudaInit)}};
  PatchImports(kLibrary, patch);
}

void Prepare(const std::string& injection) {
  const std::string tool = cupti::OtherTool(injection);
  std::string why;
  if (!tool.empty()) {
    CuptiIsOff("it belongs to " + tool);
  } else if (!cupti::Channel::Get().Prepare("libtorch_cpu.so", &why)) {
    CuptiIsOff(why);
  } else {
    g_prepared.store(true);
    WatchCudaInit();
  }
}

}  // namespace

namespace cupti {

uint32_t ScopeOfLibrary(const std::string& name) {
  return Recorder::Get().InternScope(name, false);
}

}  // namespace cupti

void WantGpuMemory(Config::Cupti mode, const std::string& injection) noexcept {
  g_mode = mode;
  g_gpu_memory_wanted.store(true);
  if (mode == Config::Cupti::kOff) return;
  try {
    Prepare(injection);
  } catch (const std::exception& error) {
    SayTrouble("cupti", error.what());
  }
}

void StartGpuMemory() noexcept {
  Started no = Started::kNo;
  if (!g_prepared.load(std::memory_order_acquire) ||
      !g_started.compare_exchange_strong(no, Started::kUnderWay)) {
    return;
  }
  try {
    std::string why;
    // A debugger may have come since.
    const std::string tool = cupti::OtherTool("");
    cupti::NoteSegmentsBefore();
    if (!tool.empty()) {
      CuptiIsOff("it belongs to " + tool);
    } else if (!cupti::Channel::Get().Start(g_mode == Config::Cupti::kSources,
                                            &why)) {
      CuptiIsOff(why);
    } else if (g_mode == Config::Cupti::kSources &&
               !cupti::Channel::Get().names_libraries()) {
      SayTrouble("cupti-sources",
                 "this libcupti names no libraries; their memory is told "
                 "together");
    }
  } catch (const std::exception& error) {
    SayTrouble("cupti", error.what());
  }
  g_started.store(Started::kDone, std::memory_order_release);
}

void MarkGpuMemory(EventKind mark, int64_t step) noexcept {
  if (mark != EventKind::kStepEnd) return StartGpuMemory();
  const int64_t now = MonotonicNs();
  if (step >= kFirstSteps && now < g_next_ns.load()) return;
  if (g_sampling.test_and_set()) return;  // another thread is at it
  g_next_ns.store(now + kPeriodNs);
  try {
    cupti::SampleAll(step);
  } catch (const std::exception& error) {
    g_gpu_memory_wanted.store(false);
    SayTrouble("gpu-memory", std::string(error.what()) +
                                 "; the device is not asked any more");
  }
  g_sampling.clear();
}

void FinishGpuMemory(const std::vector<std::string>& scopes,
                     bool say) noexcept {
  if (!g_gpu_memory_wanted.exchange(false)) return;
  cupti::Channel::Get().Stop();
  try {
    if (!say) return;
    for (int device = 0; device < cupti::kMostDevices; ++device) {
      const std::string line = DeviceLine(
          device, cupti::FullestOf(device),
          cupti::Channel::Get().Read([&](const cupti::LiveMemory& live) {
            return live.Of(device).pinned;
          }),
          scopes);
      if (!line.empty()) SayLine(line);
    }
  } catch (const std::exception& error) {
    SayTrouble("gpu-memory", error.what());
  }
}

}  // namespace invact
