#include "plugin/rebuild/mask_bits.h"

#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>

#include "kernels/bits/bits.h"
#include "kernels/kernel_api.h"
#include "plugin/log.h"
#include "plugin/rebuild/below_autograd.h"
#include "plugin/rebuild/recorded_op.h"
#include "plugin/substitute/torch_threads.h"

namespace invact {

namespace {

constexpr int64_t kGrain = 32768;  // elements a CPU thread takes at a time

// Written at start only.
struct CudaFunctions {
  invact_bits_function pack = nullptr;
  invact_bits_function unpack = nullptr;
};
CudaFunctions& Cuda() {
  static CudaFunctions functions;
  return functions;
}

// Gives the kernel's error, 0 for none. Widths: bytes for eight elements.
int Run(invact_bits_function function, const c10::Device& device,
        const void* from, int from_width, void* to, int to_width, int64_t n) {
  if (device.is_cuda()) {
    const c10::impl::VirtualGuardImpl guard(device.type());
    return function(guard.getStreamNativeHandle(guard.getStream(device)), from,
                    to, n);
  }
  std::atomic<int> error{0};
  OverTorchThreads((n + 7) / 8, kGrain / 8, [&](int64_t first, int64_t last) {
    const int64_t count = std::min(last * 8, n) - first * 8;
    const int e =
        function(nullptr, static_cast<const char*>(from) + first * from_width,
                 static_cast<char*>(to) + first * to_width, count);
    if (e != 0) error = e;
  });
  return error;
}

// (bits, number of elements) -> mask, on the device of the bits.
at::Tensor Unpack(const torch::jit::Stack& stack) {
  const at::Tensor& bits = stack[0].toTensor();
  const int64_t n = stack[1].toInt();
  const at::Tensor mask = at::empty({n}, bits.options().dtype(at::kBool));
  const int error =
      Run(bits.is_cuda() ? Cuda().unpack : &invact_unpack_bits_cpu,
          bits.device(), bits.const_data_ptr(), 1, mask.data_ptr(), 8, n);
  TORCH_CHECK(error == 0, "invact: unpacking a mask failed with error ", error,
              "; INVACT_POLICY=observe runs this job without it");
  return mask;
}

const RecordedOp& Unpacking() {
  static const auto* op = new RecordedOp{
      "unpack_bits",     RecordedOp::Kind::kPlain, {}, Unpack, 2, 1,
      /*pointwise=*/true};
  return *op;
}

}  // namespace

void LoadMaskBits(const std::string& lib_dir, bool cuda) noexcept {
  if (!cuda) return;
  void* library =
      dlopen((lib_dir + "/libinvact-cuda.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return;  // stays: its code may be in use
  Cuda().pack = reinterpret_cast<invact_bits_function>(
      dlsym(library, "invact_pack_bits_cuda"));
  Cuda().unpack = reinterpret_cast<invact_bits_function>(
      dlsym(library, "invact_unpack_bits_cuda"));
}

at::Tensor PackMask(const at::Tensor& mask) noexcept try {
  const int64_t n = mask.numel();
  if (mask.scalar_type() != at::kBool || mask.storage_offset() != 0 ||
      static_cast<int64_t>(mask.storage().nbytes()) != n ||
      (mask.is_cuda() &&
       (Cuda().pack == nullptr || Cuda().unpack == nullptr))) {
    return {};
  }
  const BelowAutograd below;
  const c10::OptionalDeviceGuard device(mask.device());
  at::Tensor bits =
      at::empty({INVACT_SIDE_BYTES(n)}, mask.options().dtype(at::kByte));
  const int error =
      Run(mask.is_cuda() ? Cuda().pack : &invact_pack_bits_cpu, mask.device(),
          mask.const_data_ptr(), 8, bits.data_ptr(), 1, n);
  if (error != 0) {
    SayTrouble("pack-mask", "packing a mask failed with error " +
                                std::to_string(error) + "; it is kept");
    return {};
  }
  return bits;
} catch (const std::exception& error) {
  SayTrouble("pack-mask", error.what());
  return {};
}

std::shared_ptr<const Recipe> UnpackingOf(const at::Tensor& mask,
                                          const at::Tensor& bits,
                                          ValuePtr value) {
  auto recipe = std::make_shared<Recipe>();
  recipe->op = &Unpacking();
  recipe->arguments = {c10::IValue(), mask.numel()};
  recipe->inputs.push_back({0, std::move(value), Layout(bits)});
  recipe->output = Layout(mask);
  recipe->output.sizes.resize(1);
  recipe->output.sizes.set_sizes({mask.numel()});
  recipe->output.sizes.set_strides({1});
  return recipe;
}

}  // namespace invact
