// Programs as kernels that are ready to run. What is asked for the first time
// is compiled, loaded and verified by one worker thread (verify.h); until then,
// and for good where that fails, the caller runs op by op.
//
// The dangerous thing: a kernel gives the bits of PyTorch's ops only for what
// its program says; dtypes, sizes and strides of a call are checked, aliasing
// of an output with an input is not.
//
// Threads: any. A forked child gets nothing. Kernels live as long as the
// process.
#ifndef INVACT_PLUGIN_FUSE_FUSED_H_
#define INVACT_PLUGIN_FUSE_FUSED_H_

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <string>
#include <vector>

#include "plugin/fuse/driver.h"
#include "plugin/fuse/program.h"

namespace invact::fuse {

struct FusedKernel {
  Program program;
  int device = 0;
  Function vector = nullptr, element = nullptr;  // source.h
};

// Before the first FindFused: where compiled code is kept. Empty, or never
// called: nowhere.
void KeepCompiledIn(const std::string& folder) noexcept;

// nullptr: not ready or refused. Asks for it where nobody has, unless the
// device's current stream is captured.
const FusedKernel* FindFused(const Program& program,
                             at::Device device) noexcept;

// Runs on the current stream of the device. Outputs are of the caller, in the
// program's order, all of one size; the last dimension is the columns. False:
// the call does not fit the kernel or the launch failed, and nothing ran.
bool Launch(const FusedKernel& kernel, c10::ArrayRef<at::Tensor> inputs,
            c10::ArrayRef<at::Tensor> outputs) noexcept;

enum class FusedState { kPending, kReady, kRefused };
struct FusedFinding {
  std::string ops;     // "mul add tanh"
  std::string device;  // "cuda:0"
  FusedState state = FusedState::kPending;
  std::string reason;  // empty unless refused
};
// Of all that was asked for.
std::vector<FusedFinding> FusedFindings();
// Of one; kPending where it was not asked for.
FusedFinding FindingOf(const Program& program, at::Device device);

}  // namespace invact::fuse

#endif  // INVACT_PLUGIN_FUSE_FUSED_H_
