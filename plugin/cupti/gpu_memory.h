// What the device itself says is used, and who has it: torch, other libraries
// as far as CUPTI tells (INVACT_CUPTI), and the rest.
//
// Samples are taken at step marks, at most four a second but for the first
// steps, by the thread that makes the mark: CUPTI's complete records are asked
// for, the device is asked for its free bytes, and both go into the device's
// account as events (plugin/events/event.h). No thread is started; between
// samples nothing runs but CUPTI's own callbacks.
//
// CUPTI is started right after torch has initialised CUDA in this process and
// has allocated nothing (at an import slot of libtorch_cuda.so), or where that
// can't be seen, at the first forward. Nothing here creates a context.
//
// Threads: any. Nothing throws. Not to be called with a lock of ours held.
#ifndef INVACT_PLUGIN_CUPTI_GPU_MEMORY_H_
#define INVACT_PLUGIN_CUPTI_GPU_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "plugin/config.h"
#include "plugin/events/event.h"

namespace invact {

// False in a forked child, too.
inline std::atomic<bool> g_gpu_memory_wanted{false};
inline bool GpuMemoryWanted() noexcept {
  return g_gpu_memory_wanted.load(std::memory_order_relaxed);
}

// Before anything else of this file, before CUDA is used. `injection`: the
// value of CUDA_INJECTION64_PATH.
void WantGpuMemory(Config::Cupti cupti, const std::string& injection) noexcept;

// Once CUDA is initialised by the job; nothing when it is done.
void StartGpuMemory() noexcept;

// step_end takes a sample; any other starts.
void MarkGpuMemory(EventKind mark, int64_t step) noexcept;
inline void MarkGpuMemoryIfWanted(EventKind mark, int64_t step) noexcept {
  if (GpuMemoryWanted()) MarkGpuMemory(mark, step);
}

// The process ends: each device's fullest moment is said where `say`. CUPTI is
// not called any more.
void FinishGpuMemory(const std::vector<std::string>& scopes, bool say) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_CUPTI_GPU_MEMORY_H_
