// The activation functions that can be inverted here: those linked in for the
// CPU, those of libinvact-cuda.so beside the plugin where the job's torch has
// CUDA, and those that INVACT_KERNELS names.
//
// Threads: filled once at start, then read only.
#ifndef INVACT_PLUGIN_SUBSTITUTE_KERNEL_REGISTRY_H_
#define INVACT_PLUGIN_SUBSTITUTE_KERNEL_REGISTRY_H_

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_api.h"

namespace invact {

// Loads what there is. What can't be loaded is said once and left out.
void LoadKernels(const std::string& lib_dir, bool cuda,
                 const std::vector<std::string>& libraries) noexcept;

// nullptr when no library serves the op on this device.
const invact_activation* FindActivation(std::string_view op,
                                        std::string_view variant,
                                        c10::DeviceType device) noexcept;

// -1 when the kernels don't know the dtype.
int KernelDtype(c10::ScalarType dtype) noexcept;
bool Serves(const invact_activation& activation,
            c10::ScalarType dtype) noexcept;

// Calls one function of the activation over the elements of `like`: on the CPU
// split over torch's threads at multiples of 8 elements, on CUDA on the
// tensor's device and current stream. `a`..`d` are the function's pointers in
// its own order, `flags` those of invact_call. 0 or the kernel's error.
enum class KernelCall { kForward, kBackward, kReconstruct, kMark };
int RunKernel(const invact_activation& activation, KernelCall call,
              const double* parameters, const at::Tensor& like, const void* a,
              const void* b, const void* c, void* d,
              uint32_t flags = 0) noexcept;
// The call's description for functions that take the tensor as a whole.
invact_call DescribeCall(const at::Tensor& like, const double* parameters);

// The library that registered it: "built-in" or its path.
std::string_view LibraryOf(const invact_activation& activation) noexcept;
// Names of ops that libraries serve, each once, in the order of registration.
std::vector<std::string> ServedOps();

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_KERNEL_REGISTRY_H_
