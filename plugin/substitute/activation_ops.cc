#include "plugin/substitute/activation_ops.h"

#include <ATen/SavedTensorHooks.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>

#include "plugin/guard.h"
#include "plugin/log.h"
#include "plugin/observe/saved_variables.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/python/hook_payload.h"
#include "plugin/rebuild/rebuild.h"
#include "plugin/substitute/bit_in_y.h"
#include "plugin/substitute/calibration.h"
#include "plugin/substitute/invert_node.h"
#include "plugin/substitute/kernel_registry.h"
#include "plugin/substitute/original_kernel.h"
#include "plugin/torch_compat.h"

namespace invact {

std::atomic<bool> g_ops_to_install{false};

namespace {

using c10::DispatchKey;
using c10::DispatchKeySet;
using torch::jit::Stack;

std::atomic<bool> g_substituting{true};

// Why the input is left to PyTorch whatever the op, or kNone.
Reason RefusalOf(const at::Tensor& x) {
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
  if (!x.is_non_overlapping_and_dense() || x.is_conj() || x.is_neg()) {
    // A chunk of a larger tensor, which the other chunks keep alive.
    const bool part =
        x.storage().nbytes() > static_cast<size_t>(x.numel()) * x.itemsize();
    return part ? Reason::kInputKeptElsewhere : Reason::kLayoutUnsupported;
  }
  return Countable(x) ? Reason::kNone : Reason::kInputKeptElsewhere;
}

// Why these kernels can't serve the call, or kNone.
Reason RefusalOf(const Inversion& call, const at::Tensor& x) {
  if (!call.arguments.known) return Reason::kNotInvertible;
  const invact_activation* kernels = call.kernels;
  if (kernels == nullptr && call.op->backward != nullptr) {
    if (!x.is_floating_point()) return Reason::kDtypeUnsupported;
    return call.op->accepts(call.arguments, x.scalar_type())
               ? Reason::kNone
               : Reason::kNotInvertible;
  }
  if (kernels == nullptr || kernels->parameters != call.arguments.count) {
    return Reason::kKernelMissing;
  }
  if (!Serves(*kernels, x.scalar_type())) return Reason::kDtypeUnsupported;
  if (kernels->accepts != nullptr &&
      kernels->accepts(call.arguments.parameters.data()) == 0) {
    return Reason::kNotInvertible;
  }
  return Reason::kNone;
}

// Whether the call is one that PyTorch would save a tensor for.
bool Wanted(const at::Tensor& x) {
  return g_substituting.load(std::memory_order_relaxed) && Active() &&
         t_own_work == 0 && c10::GradMode::is_enabled() && x.defined() &&
         x.requires_grad() && x.numel() > 0;
}

// Stands before PyTorch's autograd kernel of one op on one device.
class Substitution final : public c10::OperatorKernel {
 public:
  Substitution(const InvertedOp* op, OriginalKernel original)
      : op_(op),
        original_(std::move(original)),
        arguments_(original_.op.schema().arguments().size()),
        returns_(original_.op.schema().returns().size()) {}

  void operator()(const c10::OperatorHandle&, DispatchKeySet keys,
                  Stack* stack) {
    const c10::IValue& first = *(stack->end() - arguments_);
    if (first.isTensor() && Wanted(first.toTensor()) && Serve(keys, stack)) {
      return;
    }
    original_.CallBoxed(keys, stack);
    SetPendingDecline(Reason::kNone);
  }

 private:
  // Puts the outputs in place of the arguments, or declines and leaves them.
  bool Serve(DispatchKeySet keys, Stack* stack) {
    const at::Tensor x = (stack->end() - arguments_)->toTensor();
    Reason reason = RefusalOf(x);
    std::optional<Inversion> call;
    if (reason == Reason::kNone) {
      call = Describe(x, *stack);
      reason = RefusalOf(*call, x);
    }
    if (reason == Reason::kNone) {
      reason = Recorder::Get().SubstitutionAllowed(Recorder::Get().NextSite());
    }
    if (reason == Reason::kNone) {
      // Exactly, and with nothing held for it.
      if (Rebuilding() && CostsNothing(x)) return false;
      reason = Calibrated(&*call, x);
    }
    if (reason == Reason::kNone) {
      Stack outputs;
      at::Tensor bits;
      if (Forward(*call, keys, x, &outputs, &bits)) {
        const at::Tensor& y = outputs[0].toTensor();
        const at::Tensor also = AlsoDropped(*call, outputs);
        call->arguments.DropUnread();
        auto node = MakeNode<InvertNode>(std::move(*call));
        node->set_next_edges(torch::autograd::collect_next_edges(x));
        node->Hold(HeldOutput::Make(y.tensor_data(), std::move(bits), x, also));
        torch::autograd::set_history(y, node);
        stack->erase(stack->end() - arguments_, stack->end());
        stack->insert(stack->end(), outputs.begin(), outputs.end());
        return true;
      }
      reason = Reason::kKernelMissing;
    }
    SetPendingDecline(reason);
    return false;
  }

  // What PyTorch would have kept beside x: log_sigmoid's second output on the
  // CPU (it is empty on CUDA), rrelu's noise. Undefined where nothing.
  static at::Tensor AlsoDropped(const Inversion& call, const Stack& outputs) {
    const at::Tensor dropped = outputs.size() > 1
                                   ? outputs[1].toTensor()
                                   : call.arguments.UnreadTensor();
    return dropped.defined() && dropped.numel() > 0 ? dropped : at::Tensor();
  }

  Inversion Describe(const at::Tensor& x, const Stack& stack) const {
    Inversion call{op_, original_.op, nullptr,
                   ArgumentsOf(stack, static_cast<size_t>(arguments_),
                               op_->has_unread_tensor)};
    const bool by_kernel = op_->backward == nullptr ||
                           (op_->by_kernel != nullptr && call.arguments.known &&
                            !op_->accepts(call.arguments, x.scalar_type()));
    if (by_kernel) {
      call.kernels = FindActivation(op_->name, call.arguments.variant(),
                                    x.device().type());
      call.bit_in_y = call.kernels != nullptr && BitInY(*call.kernels);
    }
    return call;
  }

  // y and what else the op returns, and the branch bits. False when a kernel
  // failed.
  bool Forward(const Inversion& call, DispatchKeySet keys, const at::Tensor& x,
               Stack* outputs, at::Tensor* bits) const {
    const at::AutoDispatchBelowADInplaceOrView below;
    const invact_activation* kernels = call.kernels;
    const bool ours =
        kernels != nullptr && returns_ == 1 && call.own_forward &&
        (kernels->forward_exact >> KernelDtype(x.scalar_type()) & 1) != 0;
    if (ours) {
      outputs->emplace_back(at::empty_like(x));
    } else {
      *outputs = call.arguments.StackFor(x);
      original_.op.redispatchBoxed(keys & c10::after_ADInplaceOrView_keyset,
                                   outputs);
    }
    const at::Tensor& y = (*outputs)[0].toTensor();
    // PyTorch's y has to lie as x does for kernels of ours and the bits to fit.
    if (y.strides() != x.strides() || y.scalar_type() != x.scalar_type()) {
      return false;
    }
    if (kernels == nullptr) return true;
    const bool in_one_pass = call.bit_in_y && ours && InOnePass(*kernels);
    if (kernels->side_bits > 0 && !in_one_pass) {
      *bits = at::empty({INVACT_SIDE_BYTES(x.numel())},
                        x.options().dtype(at::kByte));
    }
    void* side = bits->defined() ? bits->data_ptr() : nullptr;
    const double* parameters = call.arguments.parameters.data();
    int error = 0;
    if (ours) {
      error = RunKernel(*kernels, KernelCall::kForward, parameters, x,
                        x.const_data_ptr(), y.data_ptr(), side, nullptr,
                        in_one_pass ? INVACT_BIT_IN_Y : 0);
    } else if (side != nullptr) {
      error = RunKernel(*kernels, KernelCall::kMark, parameters, x,
                        x.const_data_ptr(), y.const_data_ptr(), side, nullptr);
    }
    if (error == 0 && call.bit_in_y && !in_one_pass) {
      error = PutBitsInY(y, side);
      *bits = at::Tensor();
    }
    if (error != 0) {
      SayTrouble("forward-kernel",
                 op_->name + ": the forward kernel failed with error " +
                     std::to_string(error));
    }
    return error == 0;
  }

  const InvertedOp* op_;
  const OriginalKernel original_;
  const std::ptrdiff_t arguments_;
  const size_t returns_;
};

// Before PyTorch's kernel of an op that is left alone: tells why.
class Declined final : public c10::OperatorKernel {
 public:
  Declined(Reason reason, OriginalKernel original)
      : reason_(reason), original_(std::move(original)) {}

  void operator()(const c10::OperatorHandle&, DispatchKeySet keys,
                  Stack* stack) {
    const size_t count = original_.op.schema().arguments().size();
    const c10::IValue& first = *(stack->end() - static_cast<int64_t>(count));
    if (first.isTensor() && Wanted(first.toTensor())) {
      SetPendingDecline(reason_);
    }
    original_.CallBoxed(keys, stack);
    SetPendingDecline(Reason::kNone);
  }

 private:
  const Reason reason_;
  const OriginalKernel original_;
};

std::vector<DispatchKey>& Keys() {
  static auto* keys = new std::vector<DispatchKey>;
  return *keys;
}

// Registrations live as long as their Library: for ever.
void Register(const std::string& name, DispatchKey key,
              torch::CppFunction function) {
  const size_t colons = name.find("::");
  auto* library = new torch::Library(
      torch::Library::IMPL, name.substr(0, colons), key, __FILE__, __LINE__);
  library->impl(name.substr(colons + 2).c_str(), std::move(function));
}

template <typename Kernel, typename... Arguments>
bool StandBefore(const std::string& name, DispatchKey key,
                 const Arguments&... arguments) {
  auto original = FetchOriginal({name, ""}, key);
  if (!original.has_value()) return false;
  Register(name, key,
           torch::CppFunction::makeFromBoxedFunctor(
               std::make_unique<Kernel>(arguments..., *std::move(original))));
  return true;
}

// Ops that only kernel libraries of others serve, until PyTorch knows them.
struct Waiting {
  std::mutex mutex;
  std::vector<std::unique_ptr<InvertedOp>> ops;
};
Waiting& WaitingOps() {
  static auto* waiting = new Waiting;
  return *waiting;
}

}  // namespace

void SetSubstituting(bool on) noexcept { g_substituting.store(on); }

bool InstallActivationOps(bool cuda, std::string* error) noexcept {
  try {
    Keys() = {DispatchKey::AutogradCPU};
    if (cuda) Keys().push_back(DispatchKey::AutogradCUDA);
    for (const DispatchKey key : Keys()) {
      for (const InvertedOp& op : BuiltInOps()) {
        TORCH_CHECK(StandBefore<Substitution>(op.name, key, &op),
                    "no autograd kernel of ", op.name);
      }
      for (const auto& [name, reason] : DeclinedOps()) {
        TORCH_CHECK(StandBefore<Declined>(name, key, reason),
                    "no autograd kernel of ", name);
      }
    }
    for (const std::string& name : ServedOps()) {
      const auto known = BuiltInOps();
      if (std::none_of(known.begin(), known.end(),
                       [&](const InvertedOp& op) { return op.name == name; })) {
        WaitingOps().ops.push_back(std::make_unique<InvertedOp>(
            InvertedOp{name, name, nullptr, nullptr, nullptr}));
        g_ops_to_install.store(true);
      }
    }
    return true;
  } catch (const std::exception& failure) {
    *error = failure.what();
    return false;
  }
}

void InstallOps() noexcept {
  Waiting& waiting = WaitingOps();
  std::lock_guard lock(waiting.mutex);
  auto& ops = waiting.ops;
  for (size_t i = 0; i < ops.size();) {
    try {
      const auto schema =
          c10::Dispatcher::singleton().findSchema({ops[i]->name, ""});
      if (!schema.has_value()) {
        ++i;
        continue;
      }
      const InvertedOp* op = ops[i].release();  // its kernels stay
      for (const DispatchKey key : Keys()) {
        StandBefore<Substitution>(op->name, key, op);
      }
    } catch (const std::exception& failure) {
      SayTrouble("custom-activation",
                 std::string("an op of INVACT_KERNELS can't be served: ") +
                     failure.what());
    }
    ops.erase(ops.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (ops.empty()) g_ops_to_install.store(false);
}

}  // namespace invact
