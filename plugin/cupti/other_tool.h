// Whether another tool has CUPTI to itself in this process: Nsight Systems and
// Compute, Compute Sanitizer, cuda-gdb, or a library of CUDA_INJECTION64_PATH.
// Nothing of CUPTI or CUDA is called. Threads: any.
#ifndef INVACT_PLUGIN_CUPTI_OTHER_TOOL_H_
#define INVACT_PLUGIN_CUPTI_OTHER_TOOL_H_

#include <string>

namespace invact::cupti {

// What it is, for people; empty: none. `injection`: that variable's value.
std::string OtherTool(const std::string& injection);

}  // namespace invact::cupti

#endif  // INVACT_PLUGIN_CUPTI_OTHER_TOOL_H_
