// The CUDA source of a program. Needs no header: NVRTC compiles it alone.
//
// Threads: a pure function.
#ifndef INVACT_PLUGIN_FUSE_SOURCE_H_
#define INVACT_PLUGIN_FUSE_SOURCE_H_

#include <string>

#include "plugin/fuse/program.h"

namespace invact::fuse {

// Two kernels, fused_vector (a group of elements a thread by 16-byte accesses;
// the elements after the last whole group one by one) and fused_element (one a
// thread, any alignment). Parameters of both: a pointer for each input, then
// for each output, then long long n, cols. fused_vector wants pointers of
// whole tensors and of columns aligned to 16 bytes, and cols a multiple of the
// group where an input is per row or per column. The program must not be
// refused.
std::string Source(const Program& program);

inline constexpr int kThreads = 256;  // a block

// Elements a thread of fused_vector: eight, or four where all that is wide is
// float32, so that neighbouring threads touch neighbouring 16 bytes.
int GroupOf(const Program& program);

// What NVRTC is told beside the architecture: every op rounds by itself.
inline constexpr const char* kCompileOptions[] = {
    "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true",
    "--std=c++17"};

}  // namespace invact::fuse

#endif  // INVACT_PLUGIN_FUSE_SOURCE_H_
