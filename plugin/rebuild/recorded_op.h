// The ops that may be run again, and what stands before PyTorch's autograd
// kernels of them to note how their outputs were made.
//
// Threads: Install once, before the job runs; calls from any thread.
#ifndef INVACT_PLUGIN_REBUILD_RECORDED_OP_H_
#define INVACT_PLUGIN_REBUILD_RECORDED_OP_H_

#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string>

namespace invact {

struct RecordedOp {
  enum class Kind : uint8_t {
    kPlain,
    kCast,       // of one tensor: the same one of the same source is a twin
    kDropout,    // run again as its own backward, applied to the input
    kLayerNorm,  // notes its statistics
    kBatchNorm,  // in training run again without the running statistics
  };
  std::string name;
  Kind kind;
  // How it is run again: one of them.
  std::optional<c10::OperatorHandle> rerun;
  at::Tensor (*function)(const torch::jit::Stack& arguments);
  size_t arguments;  // of the op
  size_t returns;
  // One kernel may run it together with its neighbours (fuse_step.h).
  bool pointwise;
};

// At the autograd keys of CPU and, if there, CUDA. Throws c10::Error.
void InstallRecordedOps(bool cuda);

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_RECORDED_OP_H_
