#include "plugin/substitute/invert_node.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/variable.h>

#include <mutex>

#include "plugin/guard.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/observe/version_error.h"
#include "plugin/substitute/bit_in_y.h"
#include "plugin/substitute/kernel_registry.h"
#include "plugin/torch_compat.h"

namespace invact {

using torch::autograd::variable_list;

namespace {

const void* BytesOf(const at::Tensor& bits) {
  return bits.defined() ? bits.const_data_ptr() : nullptr;
}

}  // namespace

variable_list InvertNode::apply(variable_list&& grads) {
  std::lock_guard<std::mutex> lock(mutex_);
  Recorder::Get().Unpacked(held_->site());
  variable_list inputs(1);
  const at::Tensor& dy = grads[0];
  if (!dy.defined() || !task_should_compute_output(0)) return inputs;
  const HeldOutput::View held = held_->Read();
  if (held_->InputWritten()) ThrowInputWritten(held);
  const bool plain = !c10::GradMode::is_enabled() && PlainTensor(dy) &&
                     PlainDispatch() &&
                     dy.scalar_type() == held.y.scalar_type();
  inputs[0] = plain ? Invert(held, dy) : ThroughInput(held, dy);
  return inputs;
}

// Packed, out of a y that has them.
at::Tensor InvertNode::TakenBits(const at::Tensor& y) const {
  const c10::AutoGradMode no_grad(false);
  at::Tensor bits =
      at::empty({INVACT_SIDE_BYTES(y.numel())}, y.options().dtype(at::kByte));
  const int error = TakeBitsFromY(y, bits.data_ptr());
  TORCH_CHECK(error == 0, "invact: reading the bits of ", name(),
              " failed with error ", error,
              "; INVACT_BITS=packed runs this job without it");
  return bits;
}

void InvertNode::release_variables() {
  std::lock_guard<std::mutex> lock(mutex_);
  held_->Release();
}

// Nothing here needs x any more, but a program that eager refuses is refused.
// An x that is gone is made up again, without its values.
void InvertNode::ThrowInputWritten(const HeldOutput::View& held) const {
  at::Tensor x = held_->Input();
  if (!x.defined()) {
    {
      const c10::AutoGradMode no_grad(false);
      x = at::empty_like(held.y);
    }
    torch::autograd::impl::set_version_counter(x, held_->input_counter());
    torch::autograd::impl::set_gradient_edge(x, next_edge(0));
  }
  ThrowWrittenInPlace(x, /*own_output=*/false, 0, held_->input_version());
}

// The usual case: one pass over y, the bits and dy.
at::Tensor InvertNode::Invert(const HeldOutput::View& held,
                              const at::Tensor& dy) const {
  if (call_.kernels == nullptr) {
    return call_.op->backward(dy, held.y, call_.arguments);
  }
  // Kernels walk the storage: dy has to lie as y does.
  at::Tensor aligned = dy;
  if (dy.strides() != held.y.strides() || dy.is_conj() || dy.is_neg()) {
    aligned = at::empty_like(held.y);
    aligned.copy_(dy);
  }
  const bool in_one_pass = call_.bit_in_y && InOnePass(*call_.kernels);
  const at::Tensor bits =
      call_.bit_in_y && !in_one_pass ? TakenBits(held.y) : held.bits;
  at::Tensor dx = at::empty_like(held.y);
  const int error = RunKernel(
      *call_.kernels, KernelCall::kBackward, call_.arguments.parameters.data(),
      held.y, held.y.const_data_ptr(), BytesOf(bits), aligned.const_data_ptr(),
      dx.data_ptr(), in_one_pass ? INVACT_BIT_IN_Y : 0);
  TORCH_CHECK(error == 0, "invact: the backward kernel of ", name(),
              " failed with error ", error,
              "; INVACT_POLICY=observe runs this job without it");
  return dx;
}

// An x that gives this y and its slope. Not the held tensor itself.
at::Tensor InvertNode::Reconstruct(const HeldOutput::View& held) const {
  const c10::AutoGradMode no_grad(false);
  if (call_.kernels == nullptr) {
    const at::Tensor x = call_.op->reconstruct(held.y, call_.arguments);
    return x.is_same(held.y) ? held.y.tensor_data() : x;
  }
  const at::Tensor bits = call_.bit_in_y ? TakenBits(held.y) : held.bits;
  at::Tensor x = at::empty_like(held.y);
  const int error =
      RunKernel(*call_.kernels, KernelCall::kReconstruct,
                call_.arguments.parameters.data(), held.y,
                held.y.const_data_ptr(), BytesOf(bits), x.data_ptr(), nullptr);
  TORCH_CHECK(error == 0, "invact: rebuilding the input of ", name(),
              " failed with error ", error,
              "; INVACT_POLICY=observe runs this job without it");
  return x;
}

// A backward that is itself differentiated, or whose gradients are batched or
// of another dtype: x is built from y and the bits and stands where the node's
// input stood, and torch's own node of the op, made from it, does the rest. The
// singular f''/f' of a direct formula never appears.
at::Tensor InvertNode::ThroughInput(const HeldOutput::View& held,
                                    const at::Tensor& dy) const {
  at::Tensor x = Reconstruct(held);
  // Where this node's gradient goes: a node that leads elsewhere would not be
  // asked for it.
  torch::autograd::impl::set_gradient_edge(x, next_edge(0));
  if (c10::GradMode::is_enabled()) {
    // The graph of this backward keeps x: nothing would be gained next time.
    Recorder::Get().DeclineFromNowOn(held_->site(), Reason::kDoubleBackward);
  }
  NodePtr of_torch;
  {
    const OwnWork own;
    const c10::AutoGradMode grad(true);
    torch::jit::Stack stack = call_.arguments.StackFor(x);
    call_.handle.callBoxed(&stack);
    of_torch = stack[0].toTensor().grad_fn();
  }
  TORCH_CHECK(of_torch != nullptr, "invact: ", name(),
              " recorded no gradient of its own; INVACT_POLICY=observe runs "
              "this job without it");
  variable_list dys(of_torch->num_inputs());
  dys[0] = dy;
  return (*of_torch)(std::move(dys))[0];
}

}  // namespace invact
