#include "plugin/substitute/kernel_registry.h"

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <atomic>

#include "plugin/log.h"
#include "plugin/substitute/torch_threads.h"

namespace invact {

namespace {

// Elements a CPU thread takes at a time: enough to outweigh handing it over.
constexpr int64_t kGrain = 32768;

std::vector<const invact_activation*>& Activations() {
  static auto* activations = new std::vector<const invact_activation*>;
  return *activations;
}

// Later libraries win, so that a named one can replace a built-in one.
int Add(void*, const invact_activation* activation) {
  if (activation == nullptr || activation->size < sizeof(invact_activation) ||
      activation->op == nullptr || activation->variant == nullptr ||
      activation->backward == nullptr || activation->reconstruct == nullptr ||
      (activation->forward == nullptr && activation->mark == nullptr) ||
      activation->side_bits > 1 || activation->device > INVACT_CUDA) {
    return 1;
  }
  Activations().push_back(activation);
  return 0;
}

using Register = int (*)(const invact_registry*);

void LoadLibrary(const std::string& path, const char* next_step) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    SayTrouble("kernels", std::string("kernel library not loaded: ") +
                              dlerror() + next_step);
    return;
  }
  auto* add =
      reinterpret_cast<Register>(dlsym(library, "invact_register_kernels"));
  const invact_registry registry{sizeof(invact_registry), INVACT_KERNEL_ABI,
                                 nullptr, Add};
  if (add == nullptr || add(&registry) != 0) {
    SayTrouble("kernels",
               path + " is no kernel library of this version" + next_step);
  }
}

}  // namespace

void LoadKernels(const std::string& lib_dir, bool cuda,
                 const std::vector<std::string>& libraries) noexcept {
  const invact_registry registry{sizeof(invact_registry), INVACT_KERNEL_ABI,
                                 nullptr, Add};
  invact_register_cpu_kernels(&registry);
  if (cuda) {
    LoadLibrary(lib_dir + "/libinvact-cuda.so",
                "; CUDA tensors keep PyTorch's own kernels (next: invact "
                "doctor)");
  }
  for (const std::string& path : libraries) {
    LoadLibrary(path, "; check INVACT_KERNELS");
  }
}

const invact_activation* FindActivation(std::string_view op,
                                        std::string_view variant,
                                        c10::DeviceType device) noexcept {
  const uint32_t wanted =
      device == c10::DeviceType::CUDA ? INVACT_CUDA : INVACT_CPU;
  const auto& activations = Activations();
  for (auto it = activations.rbegin(); it != activations.rend(); ++it) {
    if ((*it)->device == wanted && (*it)->op == op &&
        (*it)->variant == variant) {
      return *it;
    }
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

int RunKernel(const invact_activation& activation, KernelCall call,
              const at::Tensor& like, const void* a, const void* b,
              const void* c, void* d) noexcept {
  invact_call told = {sizeof(told), KernelDtype(like.scalar_type()), nullptr,
                      nullptr};
  const auto width = static_cast<int64_t>(like.element_size());
  auto run = [&](int64_t begin, int64_t n) {
    auto at = [&](const void* p) {
      return p == nullptr
                 ? nullptr
                 : static_cast<char*>(const_cast<void*>(p)) + begin * width;
    };
    auto side = [&](const void* p) {
      return static_cast<char*>(const_cast<void*>(p)) + begin / 8;
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
      const c10::impl::VirtualGuardImpl device(c10::DeviceType::CUDA);
      told.stream =
          device.getStreamNativeHandle(device.getStream(like.device()));
      return run(0, like.numel());
    }
    std::atomic<int> error{0};
    // Ranges begin at any boundary: count in groups of 8.
    const int64_t groups = (like.numel() + 7) / 8;
    OverTorchThreads(groups, kGrain / 8, [&](int64_t first, int64_t last) {
      const int64_t begin = first * 8;
      const int64_t end = std::min(last * 8, like.numel());
      if (const int e = run(begin, end - begin); e != 0) error = e;
    });
    return error;
  } catch (const std::exception& failure) {
    SayTrouble("kernel-call", failure.what());
    return INVACT_BAD_ARGUMENT;
  }
}

}  // namespace invact
