// INVACT_DIGEST=1: the losses of each step and a digest of each parameter's
// gradient, as they stand when the step's backward has ended, written to the
// relay (docs/compare.md). Without it nothing here runs and nothing is patched.
//
// On a CUDA device the work is queued on the device's current stream and its
// results are read in a later step: the job never waits for it. It takes
// kDigestScratchBytes of device memory while a step's digests are made, after
// the step's activations are gone.
//
// Threads: any; one step at a time. Nothing throws: what can't be read is told
// as unseen, with the reason.
#ifndef INVACT_PLUGIN_DIGEST_DIGESTS_H_
#define INVACT_PLUGIN_DIGEST_DIGESTS_H_

#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/variable.h>

#include <atomic>
#include <string>

namespace invact {

inline std::atomic<bool> g_digesting{false};
inline bool Digesting() noexcept {
  return g_digesting.load(std::memory_order_relaxed);
}

// Once, after libtorch is mapped. False with the reason.
bool InstallDigests(bool python, std::string* error) noexcept;

// An outermost backward begins on this thread.
void DigestRoots(const torch::autograd::edge_list& edges,
                 const torch::autograd::variable_list& gradients) noexcept;
// It has ended, and with it a step (Recorder::LeaveBackward).
void DigestStep(int64_t step) noexcept;

// The process ends: what the device has finished is written, waiting for it at
// most two seconds. Calls no torch.
void FinishDigests() noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_DIGEST_DIGESTS_H_
