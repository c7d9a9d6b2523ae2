#include "plugin/substitute/kernel_registry.h"

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "plugin/log.h"
#include "plugin/substitute/op_arguments.h"
#include "plugin/substitute/torch_threads.h"

namespace invact {

namespace {

// Elements a CPU thread takes at a time: enough to outweigh handing it over.
constexpr int64_t kGrain = 32768;

constexpr char kBuiltIn[] = "built-in";

struct Registered {
  const invact_activation* activation;
  std::string library;
};
std::vector<Registered>& Activations() {
  static auto* activations = new std::vector<Registered>;
  return *activations;
}

// What makes an activation unusable, nullptr for nothing.
const char* Flaw(const invact_activation* a) {
  if (a == nullptr) return "it is a null pointer";
  if (a->size < sizeof(invact_activation)) {
    return "it is of another version of kernel_api.h";
  }
  if (a->op == nullptr || std::strchr(a->op, ':') == nullptr ||
      a->variant == nullptr) {
    return "it has no op name like \"library::op\" or no variant";
  }
  if (a->device > INVACT_CUDA) return "its device is unknown";
  if (a->dtypes == 0 || a->dtypes >> INVACT_DTYPES != 0) {
    return "its dtypes are unknown";
  }
  if (a->side_bits > 1) return "it wants more than one side bit an element";
  if (a->parameters > kMaxParameters) return "it has too many parameters";
  if (a->backward == nullptr || a->reconstruct == nullptr) {
    return "backward or reconstruct is a null pointer";
  }
  if (a->forward == nullptr &&
      ((a->side_bits > 0 && a->mark == nullptr) || a->forward_exact != 0)) {
    return "forward is a null pointer, and mark does not stand in for it";
  }
  if ((a->table_dtypes & ~(1u << INVACT_BF16 | 1u << INVACT_F16)) != 0 ||
      (a->table_dtypes != 0 && a->parameters != 0)) {
    return "table_dtypes names more than 16-bit dtypes of ops without "
           "parameters";
  }
  if (a->table_dtypes != 0 && a->prepare == nullptr) {
    return "prepare is a null pointer though table_dtypes asks for it";
  }
  for (int dtype = 0; dtype < INVACT_DTYPES; ++dtype) {
    if ((a->dtypes >> dtype & 1) == 0) continue;
    // Above 1 no decoder would be needed: f' itself is of that size.
    if (!(a->error_max[dtype] >= 0 && a->error_max[dtype] <= 1) ||
        !(a->error_rms[dtype] >= 0 &&
          a->error_rms[dtype] <= a->error_max[dtype])) {
      return "its stated errors are no bounds (0 <= RMS <= largest <= 1)";
    }
  }
  return nullptr;
}

// Later libraries win, so that a named one can replace a built-in one. `ctx`:
// the library's name.
int Add(void* ctx, const invact_activation* activation) {
  const std::string& library = *static_cast<std::string*>(ctx);
  if (const char* flaw = Flaw(activation); flaw != nullptr) {
    SayTrouble("kernels-" + library, library + ": an activation was refused: " +
                                         flaw + "; see kernel_api.h");
    return INVACT_BAD_ARGUMENT;
  }
  Activations().push_back({activation, library});
  return 0;
}

using Register = int (*)(const invact_registry*);

void LoadLibrary(const std::string& path, std::string name,
                 const char* next_step) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    SayTrouble("kernels-" + path, std::string("kernel library not loaded: ") +
                                      dlerror() + next_step);
    return;
  }
  auto* add =
      reinterpret_cast<Register>(dlsym(library, "invact_register_kernels"));
  const invact_registry registry{sizeof(invact_registry), INVACT_KERNEL_ABI,
                                 &name, Add};
  if (add == nullptr || add(&registry) != 0) {
    SayTrouble("kernels-" + path,
               path + " is no kernel library of this version" + next_step);
  }
}

}  // namespace

void LoadKernels(const std::string& lib_dir, bool cuda,
                 const std::vector<std::string>& libraries) noexcept {
  std::string built_in = kBuiltIn;
  const invact_registry registry{sizeof(invact_registry), INVACT_KERNEL_ABI,
                                 &built_in, Add};
  invact_register_cpu_kernels(&registry);
  if (cuda) {
    LoadLibrary(lib_dir + "/libinvact-cuda.so", kBuiltIn,
                "; CUDA tensors keep PyTorch's own kernels (next: invact "
                "doctor)");
  }
  for (const std::string& path : libraries) {
    LoadLibrary(path, path, "; check INVACT_KERNELS");
  }
}

const invact_activation* FindActivation(std::string_view op,
                                        std::string_view variant,
                                        c10::DeviceType device) noexcept {
  const uint32_t wanted =
      device == c10::DeviceType::CUDA ? INVACT_CUDA : INVACT_CPU;
  const auto& activations = Activations();
  for (auto it = activations.rbegin(); it != activations.rend(); ++it) {
    const invact_activation& a = *it->activation;
    if (a.device == wanted && a.op == op && a.variant == variant) return &a;
  }
  return nullptr;
}

int KernelDtype(c10::ScalarType dtype) noexcept {
  switch (dtype) {
    case c10::ScalarType::Float:
      return INVACT_F32;
    case c10::ScalarType::BFloat16:
      return INVACT_BF16;
    case c10::ScalarType::Half:
      return INVACT_F16;
    default:
      return -1;
  }
}

bool Serves(const invact_activation& activation,
            c10::ScalarType dtype) noexcept {
  const int known = KernelDtype(dtype);
  return known >= 0 && (activation.dtypes >> known & 1) != 0;
}

std::string_view LibraryOf(const invact_activation& activation) noexcept {
  for (const Registered& registered : Activations()) {
    if (registered.activation == &activation) return registered.library;
  }
  return {};
}

std::vector<std::string> ServedOps() {
  std::vector<std::string> ops;
  for (const Registered& registered : Activations()) {
    const std::string op = registered.activation->op;
    if (std::find(ops.begin(), ops.end(), op) == ops.end()) ops.push_back(op);
  }
  return ops;
}

invact_call DescribeCall(const at::Tensor& like, const double* parameters) {
  invact_call call = {sizeof(call), KernelDtype(like.scalar_type()), nullptr,
                      parameters, 0};
  if (like.is_cuda()) {
    const c10::impl::VirtualGuardImpl device(c10::DeviceType::CUDA);
    call.stream = device.getStreamNativeHandle(device.getStream(like.device()));
  }
  return call;
}

int RunKernel(const invact_activation& activation, KernelCall call,
              const double* parameters, const at::Tensor& like, const void* a,
              const void* b, const void* c, void* d, uint32_t flags) noexcept {
  const auto width = static_cast<int64_t>(like.element_size());
  const auto run = [&](const invact_call& told, int64_t begin, int64_t n) {
    auto at = [&](const void* p) {
      return p == nullptr
                 ? nullptr
                 : static_cast<char*>(const_cast<void*>(p)) + begin * width;
    };
    auto side = [&](const void* p) {
      return p == nullptr
                 ? nullptr
                 : static_cast<char*>(const_cast<void*>(p)) + begin / 8;
    };
    switch (call) {
      case KernelCall::kForward:
        return activation.forward(&told, at(a), at(b), side(c), n);
      case KernelCall::kBackward:
        return activation.backward(&told, at(a), side(b), at(c), at(d), n);
      case KernelCall::kReconstruct:
        return activation.reconstruct(&told, at(a), side(b), at(c), n);
      case KernelCall::kMark:
        return activation.mark(&told, at(a), at(b), side(c), n);
    }
    return static_cast<int>(INVACT_BAD_ARGUMENT);
  };
  try {
    if (like.is_cuda()) {
      const c10::DeviceGuard guard(like.device());
      invact_call told = DescribeCall(like, parameters);
      told.flags = flags;
      return run(told, 0, like.numel());
    }
    invact_call told = DescribeCall(like, parameters);
    told.flags = flags;
    std::atomic<int> error{0};
    // Ranges begin at any boundary: count in groups of 8.
    const int64_t groups = (like.numel() + 7) / 8;
    OverTorchThreads(groups, kGrain / 8, [&](int64_t first, int64_t last) {
      const int64_t begin = first * 8;
      const int64_t end = std::min(last * 8, like.numel());
      if (const int e = run(told, begin, end - begin); e != 0) error = e;
    });
    return error;
  } catch (const std::exception& failure) {
    SayTrouble("kernel-call", failure.what());
    return INVACT_BAD_ARGUMENT;
  }
}

}  // namespace invact
