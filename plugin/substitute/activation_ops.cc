#include "plugin/substitute/activation_ops.h"

#include <ATen/SavedTensorHooks.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/library.h>

#include <atomic>

#include "plugin/guard.h"
#include "plugin/log.h"
#include "plugin/observe/saved_variables.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/python/hook_payload.h"
#include "plugin/substitute/invert_node.h"
#include "plugin/substitute/kernel_registry.h"
#include "plugin/substitute/original_kernel.h"
#include "plugin/torch_compat.h"

namespace invact {

namespace {

using c10::DispatchKey;
using c10::DispatchKeySet;

std::atomic<bool> g_substituting{true};

const InvertedOp kGelu = {
    "GeluBackward0",
    [](const at::Tensor& dy, const at::Tensor& x, const std::string& variant) {
      return at::gelu_backward(dy, x, variant);
    }};
const InvertedOp kSilu = {
    "SiluBackward0",
    [](const at::Tensor& dy, const at::Tensor& x, const std::string&) {
      if (!c10::GradMode::is_enabled()) return at::silu_backward(dy, x);
      // silu_backward has no derivative: torch's formula for this case.
      const at::Tensor s = x.sigmoid();
      return dy * s * (1.0 + x * (1.0 - s));
    }};

at::Tensor PlainForward(const InvertedOp& op, const at::Tensor& x,
                        c10::string_view variant) {
  return &op == &kGelu ? at::gelu(x, variant) : at::silu(x);
}

// Why this call is left to PyTorch, or kNone with the activation to use.
Reason Refusal(const at::Tensor& x, const char* op, c10::string_view variant,
               const invact_activation** activation) {
  if (!PlainTensor(x)) return Reason::kTensorSubclass;
  if (!PlainDispatch()) return Reason::kDispatchMode;
  if (!at::SavedTensorDefaultHooks::get_tls_state().stack.empty()) {
    return InCheckpointRegion() ? Reason::kInCheckpointRegion
                                : Reason::kUserHooks;
  }
  if (torch::autograd::impl::get_autograd_meta(x) != nullptr &&
      x._fw_grad(/*level=*/0).defined()) {
    return Reason::kDispatchMode;  // forward-mode differentiation
  }
  *activation = FindActivation(
      op, std::string_view(variant.data(), variant.size()), x.device().type());
  if (*activation == nullptr) return Reason::kKernelMissing;
  if (!Serves(**activation, x.scalar_type())) return Reason::kDtypeUnsupported;
  if (!x.is_non_overlapping_and_dense() || x.is_conj() || x.is_neg()) {
    // A chunk of a larger tensor, which the other chunks keep alive.
    const bool part =
        x.storage().nbytes() > static_cast<size_t>(x.numel()) * x.itemsize();
    return part ? Reason::kInputKeptElsewhere : Reason::kLayoutUnsupported;
  }
  if (!Countable(x)) return Reason::kInputKeptElsewhere;
  return Recorder::Get().SubstitutionAllowed(Recorder::Get().NextSite());
}

// y and the branch bits; an undefined y when the kernel failed.
std::pair<at::Tensor, at::Tensor> Forward(const InvertedOp& op,
                                          const invact_activation& activation,
                                          const at::Tensor& x,
                                          c10::string_view variant) {
  const at::AutoDispatchBelowADInplaceOrView below;
  const int dtype = KernelDtype(x.scalar_type());
  const bool exact = (activation.forward_exact >> dtype & 1) != 0;
  at::Tensor y = exact ? at::empty_like(x) : PlainForward(op, x, variant);
  at::Tensor bits =
      at::empty({INVACT_SIDE_BYTES(x.numel())}, x.options().dtype(at::kByte));
  // PyTorch's y has to lie as x does for the bits to match.
  if (y.strides() != x.strides()) return {};
  const int error =
      exact ? RunKernel(activation, KernelCall::kForward, x, x.const_data_ptr(),
                        y.data_ptr(), bits.data_ptr(), nullptr)
            : RunKernel(activation, KernelCall::kMark, x, x.const_data_ptr(),
                        y.const_data_ptr(), bits.data_ptr(), nullptr);
  if (error != 0) {
    SayTrouble("forward-kernel", std::string(op.node_name) +
                                     ": the forward kernel failed with error " +
                                     std::to_string(error));
    return {};
  }
  return {std::move(y), std::move(bits)};
}

// The substituted op, or an undefined tensor when PyTorch has to do it.
at::Tensor Serve(const InvertedOp& op, const char* name, const at::Tensor& x,
                 c10::string_view variant) {
  const invact_activation* activation = nullptr;
  Reason reason = Refusal(x, name, variant, &activation);
  if (reason == Reason::kNone) {
    auto [y, bits] = Forward(op, *activation, x, variant);
    if (y.defined()) {
      auto node = MakeNode<InvertNode>(&op, std::string(variant));
      node->set_next_edges(torch::autograd::collect_next_edges(x));
      node->Hold(
          HeldOutput::Make(activation, y.tensor_data(), std::move(bits), x));
      torch::autograd::set_history(y, node);
      return y;
    }
    reason = Reason::kKernelMissing;
  }
  SetPendingDecline(reason);
  return {};
}

// Whether the call is one that PyTorch would save a tensor for.
bool Wanted(const at::Tensor& x) {
  return g_substituting.load(std::memory_order_relaxed) && Active() &&
         t_own_work == 0 && c10::GradMode::is_enabled() && x.defined() &&
         x.requires_grad() && x.numel() > 0;
}

struct OpAtKey {
  OriginalKernel gelu, silu;
};
// Index 0: CPU, 1: CUDA. Filled before the overrides exist, never freed.
OpAtKey* g_original[2];

template <int Device>
at::Tensor Gelu(DispatchKeySet keys, const at::Tensor& x,
                c10::string_view approximate) {
  if (Wanted(x)) {
    at::Tensor y = Serve(kGelu, "aten::gelu", x, approximate);
    if (y.defined()) return y;
  }
  torch::jit::Stack stack{x, std::string(approximate)};
  g_original[Device]->gelu.CallBoxed(keys, &stack);
  SetPendingDecline(Reason::kNone);
  return std::move(stack[0]).toTensor();
}

template <int Device>
at::Tensor Silu(DispatchKeySet keys, const at::Tensor& x) {
  if (Wanted(x)) {
    at::Tensor y = Serve(kSilu, "aten::silu", x, "");
    if (y.defined()) return y;
  }
  torch::jit::Stack stack{x};
  g_original[Device]->silu.CallBoxed(keys, &stack);
  SetPendingDecline(Reason::kNone);
  return std::move(stack[0]).toTensor();
}

template <int Device>
void Install(DispatchKey key) {
  auto gelu = FetchOriginal({"aten::gelu", ""}, key);
  auto silu = FetchOriginal({"aten::silu", ""}, key);
  TORCH_CHECK(gelu.has_value() && silu.has_value(),
              "no autograd kernel of gelu or silu");
  g_original[Device] = new OpAtKey{*gelu, *silu};
  // Registrations live as long as their Library: for ever.
  auto* library =
      new torch::Library(torch::Library::IMPL, "aten", key, __FILE__, __LINE__);
  library->impl("gelu", TORCH_FN(Gelu<Device>));
  library->impl("silu", TORCH_FN(Silu<Device>));
}

}  // namespace

void SetSubstituting(bool on) noexcept { g_substituting.store(on); }

bool InstallActivationOps(bool cuda, std::string* error) noexcept {
  try {
    Install<0>(DispatchKey::AutogradCPU);
    if (cuda) Install<1>(DispatchKey::AutogradCUDA);
    return true;
  } catch (const std::exception& failure) {
    *error = failure.what();
    return false;
  }
}

}  // namespace invact
