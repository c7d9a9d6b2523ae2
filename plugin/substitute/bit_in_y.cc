#include "plugin/substitute/bit_in_y.h"

#include <c10/core/DeviceGuard.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>

#include "plugin/log.h"
#include "plugin/substitute/kernel_registry.h"
#include "plugin/substitute/torch_threads.h"

namespace invact {

namespace {

constexpr int64_t kGrain = 32768;  // elements a CPU thread takes at a time

using Put = int (*)(const invact_call*, void*, const void*, int64_t);
using Take = int (*)(const invact_call*, const void*, void*, int64_t);

// Written at start only.
struct Functions {
  bool on = false;
  Put cuda_put = nullptr;
  Take cuda_take = nullptr;
};
Functions& Loaded() {
  static Functions functions;
  return functions;
}

// `body` of (first element, elements): whole, or a thread's part.
template <class Body>
int Over(const at::Tensor& y, Body body) noexcept try {
  if (y.is_cuda()) {
    const c10::DeviceGuard guard(y.device());
    return body(DescribeCall(y, nullptr), int64_t{0}, y.numel());
  }
  const invact_call call = DescribeCall(y, nullptr);
  std::atomic<int> error{0};
  OverTorchThreads((y.numel() + 7) / 8, kGrain / 8,
                   [&](int64_t first, int64_t last) {
                     const int64_t begin = first * 8;
                     const int64_t end = std::min(last * 8, y.numel());
                     const int e = body(call, begin, end - begin);
                     if (e != 0) error = e;
                   });
  return error;
} catch (const std::exception& failure) {
  SayTrouble("bit-in-y", failure.what());
  return INVACT_BAD_ARGUMENT;
}

}  // namespace

void LoadBitInY(const std::string& lib_dir, bool cuda) noexcept {
  Functions& loaded = Loaded();
  loaded.on = true;
  if (!cuda) return;
  // The registry has loaded it; where it could not, it has said so.
  void* library = dlopen((lib_dir + "/libinvact-cuda.so").c_str(),
                         RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  if (library == nullptr) return;
  loaded.cuda_put =
      reinterpret_cast<Put>(dlsym(library, "invact_put_bits_in_y"));
  loaded.cuda_take =
      reinterpret_cast<Take>(dlsym(library, "invact_take_bits_from_y"));
}

bool BitInY(const invact_activation& activation) noexcept {
  const Functions& loaded = Loaded();
  return loaded.on && activation.side_bits > 0 &&
         (activation.flags & INVACT_BIT_OF_NEGATIVES) != 0 &&
         (activation.device == INVACT_CPU ||
          (loaded.cuda_put != nullptr && loaded.cuda_take != nullptr));
}

int PutBitsInY(const at::Tensor& y, const void* bits) noexcept {
  const Put put =
      y.is_cuda() ? Loaded().cuda_put : Put{invact_put_bits_in_y_cpu};
  auto* words = static_cast<char*>(y.data_ptr());
  const auto* bytes = static_cast<const char*>(bits);
  const auto width = static_cast<int64_t>(y.element_size());
  return Over(y, [=](const invact_call& call, int64_t begin, int64_t n) {
    return put(&call, words + begin * width, bytes + begin / 8, n);
  });
}

int TakeBitsFromY(const at::Tensor& y, void* bits) noexcept {
  const Take take =
      y.is_cuda() ? Loaded().cuda_take : Take{invact_take_bits_from_y_cpu};
  const auto* words = static_cast<const char*>(y.const_data_ptr());
  auto* bytes = static_cast<char*>(bits);
  const auto width = static_cast<int64_t>(y.element_size());
  return Over(y, [=](const invact_call& call, int64_t begin, int64_t n) {
    return take(&call, words + begin * width, bytes + begin / 8, n);
  });
}

}  // namespace invact
