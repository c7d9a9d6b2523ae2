#include "plugin/substitute/mutation_guard.h"

#include <ATen/core/boxing/KernelFunction.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <vector>

#include "plugin/guard.h"
#include "plugin/substitute/custom_op_guard.h"
#include "plugin/substitute/held_output.h"
#include "plugin/substitute/list_guards.h"
#include "plugin/substitute/original_kernel.h"
#include "plugin/substitute/quiet_registration.h"
#include "plugin/substitute/storage_guard.h"
#include "plugin/substitute/write_notice.h"
#include "plugin/substitute/written_arguments.h"

namespace invact {

namespace {

using c10::DispatchKey;

// These change what a tensor is, not the bytes of its storage. Most still count
// as a write to autograd's version counter.
constexpr std::string_view kNotWrites[] = {
    "aten::set_data",    "aten::requires_grad_",
    "aten::detach_",     "aten::retain_grad",
    "aten::_backward",   "aten::rename_",
    "aten::squeeze_",    "aten::unsqueeze_",
    "aten::transpose_",  "aten::t_",
    "aten::swapaxes_",   "aten::swapdims_",
    "aten::as_strided_", "aten::resize_",
    "aten::resize_as_",  "aten::_resize_output_",
    "aten::set_",        "aten::record_stream"};

bool IsWrite(const std::string& name) {
  return std::find(std::begin(kNotWrites), std::end(kNotWrites), name) ==
         std::end(kNotWrites);
}

class WriteGuard final : public c10::OperatorKernel {
 public:
  // `original` is PyTorch's own kernel at this key; without one the call goes
  // on to the next key, as it would have.
  WriteGuard(std::optional<OriginalKernel> original, std::vector<int> written,
             bool writes)
      : original_(std::move(original)),
        written_(std::move(written)),
        writes_(writes) {}

  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet keys,
                  torch::jit::Stack* stack) {
    if (!WritesMatter()) {
      GoOn(op, keys, stack);
    } else if (writes_) {
      ForEachWritten(*stack, written_, BeforeWrite);
      GoOn(op, keys, stack);
    } else {
      ForEachWritten(*stack, written_, BeforeChange);
      std::vector<std::shared_ptr<HeldOutput>> held;
      ForEachWritten(*stack, written_, [&](const at::Tensor& tensor) {
        const c10::StorageImpl* storage = WrittenStorage(tensor);
        if (storage == nullptr) return;
        for (auto& one : HoldersOf(storage)) held.push_back(std::move(one));
      });
      const auto unwritten =
          std::partition(held.begin(), held.end(),
                         [](const auto& one) { return one->Unwritten(); });
      held.erase(unwritten, held.end());
      GoOn(op, keys, stack);
      for (const auto& one : held) one->AcceptVersion();
    }
  }

 private:
  void GoOn(const c10::OperatorHandle& op, c10::DispatchKeySet keys,
            torch::jit::Stack* stack) {
    if (original_.has_value()) {
      original_->CallBoxed(keys, stack);
    } else {
      op.redispatchBoxed(keys & c10::after_ADInplaceOrView_keyset, stack);
    }
  }

  std::optional<OriginalKernel> original_;
  std::vector<int> written_;  // distances from the end of the stack
  bool writes_;
};

// In training these write to the statistics that their schemas call inputs, and
// count no write.
struct StatisticsOp {
  const char* name;
  std::array<int, 2> written;  // distances from the end of the stack
  int training;                // the same of the flag, 0: always
};
constexpr StatisticsOp kStatisticsOps[] = {
    {"native_batch_norm", {5, 4}, 3},
    {"cudnn_batch_norm", {5, 4}, 3},
    {"batch_norm_update_stats", {3, 2}, 0},
    {"batch_norm_gather_stats", {5, 4}, 0},
    {"batch_norm_gather_stats_with_counts", {5, 4}, 0}};

class StatisticsGuard final : public c10::OperatorKernel {
 public:
  explicit StatisticsGuard(const StatisticsOp& guarded)
      : written_(guarded.written.begin(), guarded.written.end()),
        training_(guarded.training) {}

  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet keys,
                  torch::jit::Stack* stack) {
    if (WritesMatter() &&
        (training_ == 0 || (stack->end() - training_)->toBool())) {
      ForEachWritten(*stack, written_, BeforeWrite);
    }
    op.redispatchBoxed(keys & c10::after_ADInplaceOrView_keyset, stack);
  }

 private:
  const std::vector<int> written_;
  const int training_;
};

void GuardStatistics(torch::Library* library) {
  for (const StatisticsOp& guarded : kStatisticsOps) {
    const auto op = c10::Dispatcher::singleton().findSchema(
        {std::string("aten::") + guarded.name, ""});
    if (!op.has_value() ||
        op->hasKernelForDispatchKey(DispatchKey::ADInplaceOrView)) {
      continue;
    }
    library->impl(guarded.name,
                  torch::CppFunction::makeFromBoxedFunctor(
                      std::make_unique<StatisticsGuard>(guarded)));
  }
}

// ADInplaceOrView is passed by every write that autograd's version counter can
// see: below the autograd keys, also in no_grad and inference mode. Where torch
// has a kernel of its own there, ours calls it; where it has none (foreach,
// fused optimizers) ours goes on to the next key.
int Install() {
  constexpr DispatchKey kKey = DispatchKey::ADInplaceOrView;
  const QuietRegistration quiet;
  auto* library = new torch::Library(torch::Library::IMPL, "aten", kKey,
                                     __FILE__, __LINE__);
  GuardStatistics(library);
  int wrapped = 0;
  for (const c10::OperatorName& name :
       c10::Dispatcher::singleton().getAllOpNames()) {
    if (name.name.rfind("aten::", 0) != 0) continue;
    const auto op = c10::Dispatcher::singleton().findSchema(name);
    if (!op.has_value() || !op->schema().is_mutable()) continue;
    std::vector<int> written = WrittenArguments(op->schema());
    if (written.empty()) continue;
    std::optional<OriginalKernel> original;
    if (op->hasKernelForDispatchKey(kKey)) {
      original = FetchOriginal(name, kKey);
      if (!original.has_value()) continue;
    } else if (op->hasKernelForDispatchKey(
                   DispatchKey::CompositeImplicitAutograd)) {
      continue;  // made of others
    } else if (InstallListGuard(name, library)) {
      ++wrapped;
      continue;
    }
    std::string overload = name.name.substr(6);
    if (!name.overload_name.empty()) overload += "." + name.overload_name;
    library->impl(
        overload.c_str(),
        torch::CppFunction::makeFromBoxedFunctor(std::make_unique<WriteGuard>(
            std::move(original), std::move(written), IsWrite(name.name))));
    ++wrapped;
  }
  return wrapped;
}

}  // namespace

bool InstallMutationGuard(bool python, bool cuda, std::string* error) noexcept {
  static bool installed = false;
  if (installed) return true;
  if (!InstallStorageGuard(python, cuda, error)) return false;
  try {
    WatchForOps();
    installed = Install() > 0;
    if (!installed) *error = "none of its ops that write can be wrapped";
  } catch (const std::exception& failure) {
    *error = failure.what();
  }
  return installed;
}

}  // namespace invact
