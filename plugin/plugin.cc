// Starts the plugin inside the training process: reads the configuration,
// installs what the policy needs, and nothing that anybody could see before the
// first tensor is saved.
#include <dlfcn.h>
#include <pthread.h>
#include <torch/csrc/autograd/engine.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "plugin/checkpoint/region.h"
#include "plugin/config.h"
#include "plugin/cupti/gpu_memory.h"
#include "plugin/digest/digests.h"
#include "plugin/digest/leaves.h"
#include "plugin/events/memory_events.h"
#include "plugin/events/optimizer_scope.h"
#include "plugin/fuse/fused.h"
#include "plugin/guard.h"
#include "plugin/log.h"
#include "plugin/observe/graph_task.h"
#include "plugin/observe/recorder.h"
#include "plugin/observe/run_start.h"
#include "plugin/observe/saved_variables.h"
#include "plugin/observe/user_scope.h"
#include "plugin/plugin_api.h"
#include "plugin/python/module_scopes.h"
#include "plugin/rebuild/rebuild.h"
#include "plugin/substitute/activation_ops.h"
#include "plugin/substitute/bit_in_y.h"
#include "plugin/substitute/kernel_registry.h"
#include "plugin/substitute/mutation_guard.h"

#define INVACT_EXPORT extern "C" __attribute__((visibility("default")))

namespace invact {

namespace {

// Other processes' business: a forked child must not touch the shared memory.
void InForkedChild() {
  g_forked_child.store(true);
  g_memory_events_wanted.store(false);
  g_gpu_memory_wanted.store(false);
  g_guest_mode.store(GuestMode::kOff);
}

bool TorchHasCuda() {
  return dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD) != nullptr;
}

bool Substitutes(const Config& config) {
  return (config.policy == Policy::kInvert || config.policy == Policy::kAuto) &&
         !config.exact;
}

bool Rebuilds(const Config& config) {
  return config.policy == Policy::kRebuild || config.policy == Policy::kAuto;
}

bool InstallSubstitutions(const Config& config, const invact_start& start) {
  const char* lib_dir = start.lib_dir;
  const bool cuda = TorchHasCuda();
  LoadKernels(lib_dir, cuda, config.kernel_libraries);
  if (config.bits_in_mantissa) LoadBitInY(lib_dir, cuda);
  std::string error;
  // The guard first: nothing may be held that a write could spoil.
  if (!InstallMutationGuard(start.python != 0, cuda, &error) ||
      !InstallActivationOps(cuda, &error)) {
    SayTrouble("substitute", "can't substitute in this torch (" + error +
                                 "); observing only");
    return false;
  }
  return true;
}

bool StartRebuilding(const invact_start& start) {
  const bool cuda = TorchHasCuda();
  std::string error;
  if (!InstallMutationGuard(start.python != 0, cuda, &error) ||
      !InstallRebuild(start.lib_dir, cuda, &error)) {
    SayTrouble("rebuild",
               "can't rebuild in this torch (" + error + "); observing only");
    return false;
  }
  g_rebuilding.store(true);
  return true;
}

// Half an installation is not worth a change of the job.
bool RelayIsThere(const std::string& lib_dir) {
  const std::string relay = RelayPath(lib_dir);
  if (access(relay.c_str(), X_OK) == 0) return true;
  SayTrouble("relay", "no relay at " + relay + " (" + std::strerror(errno) +
                          "); the job runs plain (next: invact doctor)");
  return false;
}

int Failed(const invact_start& start, const std::string& why) {
  if (start.why != nullptr) {
    std::snprintf(start.why, start.why_size, "%s", why.c_str());
  }
  return 2;
}

int Start(const invact_start& start) {
  std::vector<std::string> complaints;
  Config config = ReadConfig(&complaints);
  ConfigureLog(config, complaints, start.write_line);
  if (config.disabled || config.policy == Policy::kNone) return 1;
  if (!config.bad_value && !RelayIsThere(start.lib_dir)) {
    config.bad_value = true;
  }
  std::string error;
  if (!ObserveBackwards(start.python != 0, &error) ||
      !ObserveSavedVariables(start.python != 0, &error)) {
    return Failed(start, error);
  }
  pthread_atfork(nullptr, nullptr, InForkedChild);
  Recorder::Get().Configure(config, start.lib_dir, start.torch_version,
                            start.python != 0);
  // A bad value is said at the first save: agents and workers stay silent.
  if (config.bad_value) {
    g_guest_mode.store(GuestMode::kReady);
    return 0;
  }
  if (Substitutes(config)) InstallSubstitutions(config, start);
  // Behind the other: what it notes includes what the other serves.
  if (Rebuilds(config)) StartRebuilding(start);
  if (config.policy == Policy::kCheckpoint) {
    g_checkpointing.store(start.python != 0);
    if (start.python == 0) {
      SayTrouble("checkpoint",
                 "policy checkpoint calls modules of Python again and does "
                 "nothing in a C++ job; observing only (next: "
                 "INVACT_POLICY=rebuild)");
    }
  }
  if (config.digest && !InstallDigests(start.python != 0, &error)) {
    SayTrouble("digest", error + "; losses and gradients are not compared");
  }
  if (config.events && TorchHasCuda()) {
    WantMemoryEvents(config.events_file, config.events_store);
    WantGpuMemory(config.cupti, config.injection);
    WatchOptimizers();
    // Gradients are then not told apart.
    if (!WatchLeaves(&error)) SayTrouble("events-gradients", error);
  }
  g_guest_mode.store(GuestMode::kReady);
  if (start.python != 0) {
    PrepareModuleScopes(start.torch_c);
  } else {
    InstallUserScopes();
  }
  return 0;
}

}  // namespace

}  // namespace invact

INVACT_EXPORT int invact_plugin_start(const invact_start* start) {
  if (start == nullptr || start->abi != INVACT_PLUGIN_ABI) return 2;
  try {
    return invact::Start(*start);
  } catch (const std::exception& error) {
    invact::g_guest_mode.store(invact::GuestMode::kOff);
    return invact::Failed(*start, error.what());
  }
}

// For benchmarks that compare policies inside one process: "none", "observe",
// "invert", "rebuild", "auto" or "checkpoint" (what the policy that the job was
// started with has installed: auto has all of them) from the next step on; call
// it between two steps, with no graph alive. 0 when done.
INVACT_EXPORT int invact_set_policy_for_test(const char* policy) {
  using invact::GuestMode;
  static GuestMode active_mode = GuestMode::kOff;
  if (invact::g_guest_mode.load() != GuestMode::kOff) {
    active_mode = invact::g_guest_mode.load();
  }
  if (std::strcmp(policy, "none") == 0) {
    invact::g_guest_mode.store(GuestMode::kOff);
  } else if (std::strcmp(policy, "observe") == 0 ||
             std::strcmp(policy, "invert") == 0 ||
             std::strcmp(policy, "rebuild") == 0 ||
             std::strcmp(policy, "auto") == 0 ||
             std::strcmp(policy, "checkpoint") == 0) {
    invact::g_checkpointing.store(std::strcmp(policy, "checkpoint") == 0);
    const bool both = std::strcmp(policy, "auto") == 0;
    invact::SetSubstituting(both || std::strcmp(policy, "invert") == 0);
    invact::g_rebuilding.store(both || std::strcmp(policy, "rebuild") == 0);
    invact::g_guest_mode.store(active_mode);
  } else {
    return 1;
  }
  return 0;
}

// baseline, held, side, eliminated bytes of the last complete step and its
// index; live baseline, live held, storages alive. -1: not known.
INVACT_EXPORT void invact_totals_for_test(int64_t out[8]) {
  invact::Recorder::Get().TotalsForTest(out);
}

// How many fused kernels are pending, ready and refused; one line each of ops,
// state and reason goes to `text`.
INVACT_EXPORT void invact_fused_for_test(int64_t out[3], char* text,
                                         int64_t size) {
  out[0] = out[1] = out[2] = 0;
  std::string lines;
  for (const auto& finding : invact::fuse::FusedFindings()) {
    ++out[static_cast<int>(finding.state)];
    lines += finding.ops + ": " + finding.reason + "\n";
  }
  std::snprintf(text, static_cast<size_t>(size), "%s", lines.c_str());
}

// Tells of a calibration that was not made. `errors`: stated, floor, measured,
// the largest and the root mean square of each. `failed`: what failed, or ""
// where the kernel is served.
INVACT_EXPORT void invact_note_kernel_for_test(
    const char* op, const char* dtype, const char* device, const char* library,
    int side_bits, const double errors[6], const char* failed) {
  invact::KernelFinding finding;
  finding.op = op;
  finding.dtype = dtype;
  finding.device = device;
  finding.library = library;
  finding.side_bits = side_bits;
  finding.stated_max = errors[0];
  finding.stated_rms = errors[1];
  finding.floor_max = errors[2];
  finding.floor_rms = errors[3];
  finding.error_max = errors[4];
  finding.error_rms = errors[5];
  finding.detail = failed;
  if (!finding.detail.empty()) {
    finding.reason = invact::Reason::kCalibrationFailed;
  }
  invact::Recorder::Get().NoteKernel(finding);
}
