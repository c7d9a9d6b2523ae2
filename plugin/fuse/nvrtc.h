// CUDA's run-time compiler, found in the process or beside torch's own CUDA
// libraries. Needs no device.
//
// Threads: any; blocks for the time of a compilation.
#ifndef INVACT_PLUGIN_FUSE_NVRTC_H_
#define INVACT_PLUGIN_FUSE_NVRTC_H_

#include <string>

namespace invact::fuse {

struct Compiled {
  std::string code;   // a cubin, or PTX text
  std::string error;  // one line; empty: compiled
};

// "13.0"; empty where no compiler is found. Part of a cache's key.
std::string NvrtcVersion();

// `arch`: 90 for sm_90. `ptx`: text in place of a cubin.
Compiled Compile(const std::string& source, int arch, bool ptx = false);

}  // namespace invact::fuse

#endif  // INVACT_PLUGIN_FUSE_NVRTC_H_
