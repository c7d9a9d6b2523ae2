// Whether a kernel gives the very bits of PyTorch's ops on this device: all
// patterns of the 16-bit dtypes in every such input, random bits and random
// normals in float32, over two shapes, so that whole groups of eight, tails
// and single elements are all seen. A NaN matches any NaN: payloads
// are not compared, and may be others than PyTorch's.
//
// On a stream of its own and on pinned host memory: the job's generators and
// device allocator are not touched, but for native_dropout_backward, which has
// no form that takes its output (up to 0.5 MiB for a moment).
#ifndef INVACT_PLUGIN_FUSE_VERIFY_H_
#define INVACT_PLUGIN_FUSE_VERIFY_H_

#include <string>

#include "plugin/fuse/fused.h"

namespace invact::fuse {

// Empty, or what differs. Throws what PyTorch throws. Not inside a capture.
std::string Verify(const FusedKernel& kernel);

}  // namespace invact::fuse

#endif  // INVACT_PLUGIN_FUSE_VERIFY_H_
