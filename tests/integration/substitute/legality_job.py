"""What a program may do with the output of GELU and SiLU. See probe.py."""

import copy
import io
import pickle
import threading

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from probe import (case, error_of, gradients, in_module, inverted, main,
                   names)

ACTIVATIONS = {"gelu": F.gelu, "silu": F.silu}


class Net(nn.Module):
    """Linear, activation, what the case does with y, Linear."""

    def __init__(self, activation=F.gelu, between=lambda y: y, width=16,
                 hidden=64):
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, width)
        self.activation, self.between = activation, between
        self.served = []

    def forward(self, x):
        y = self.activation(self.inner(x))
        self.served.append(inverted(y))
        return self.outer(self.between(y))


def _run(probe, name, between, activation=F.gelu, steps=3, backward=None,
         finish=None):
    """Steps of a net of its own name; notes errors, gradients, who served."""
    torch.manual_seed(11)
    net = type(f"Net_{name}", (Net,), {})(activation, between)
    batch = torch.randn(8, 16)

    def step():
        loss = net(batch).pow(2).mean()
        (backward or torch.Tensor.backward)(loss)
        if finish is not None:
            finish(net)

    errors = [error_of(step) for _ in range(steps)]
    probe.note(**{name: errors})
    probe.note_near(gradients(net))
    probe.fact(**{name: net.served})
    return net


def _twice(probe, name, between, **options):
    for kind, activation in ACTIVATIONS.items():
        _run(probe, f"{name}_{kind}", between, activation, **options)


def _no_grad(function):
    def between(y):
        with torch.no_grad():
            function(y)
        return y
    return between


def _inference(function):
    def between(y):
        with torch.inference_mode():
            function(y)
        return y
    return between


@case
def writes_before_anything_saved_the_output(probe):
    _twice(probe, "mul", lambda y: y.mul_(2))
    _twice(probe, "dropout", lambda y: F.dropout(y, 0.0, inplace=False))
    _twice(probe, "relu_inplace", lambda y: F.relu(y, inplace=True))
    _twice(probe, "add", lambda y: y.add_(1.0))
    _twice(probe, "index", lambda y: y.index_fill_(1, torch.tensor([3]), 0.5))
    _twice(probe, "masked", lambda y: y.masked_fill_(y > 1, 0.0))
    _twice(probe, "through_view", lambda y: (y[:, :4].mul_(3), y)[1])
    _twice(probe, "setitem", lambda y: (y.__setitem__((slice(2),), 0.25), y)[1])
    _twice(probe, "copy", lambda y: y.copy_(y * 1.5))
    _twice(probe, "under_no_grad", _no_grad(lambda y: y.mul_(2)))
    _twice(probe, "under_inference_mode", _inference(lambda y: y.mul_(2)))
    _twice(probe, "out", _no_grad(lambda y: torch.mul(y, 2, out=y)))
    _twice(probe, "foreach", _no_grad(lambda y: torch._foreach_mul_([y], 2.0)))
    _twice(probe, "foreach_inference",
           _inference(lambda y: torch._foreach_mul_([y], 2.0)))
    _twice(probe, "foreach_copy",
           _no_grad(lambda y: torch._foreach_copy_([y], [y * 2])))
    _twice(probe, "foreach_exp",
           _no_grad(lambda y: torch._foreach_exp_([y])))
    _twice(probe, "fused", _no_grad(lambda y: torch._fused_sgd_(
        [y], [torch.ones_like(y)], [], weight_decay=0.0, momentum=0.0, lr=0.1,
        dampening=0.0, nesterov=False, maximize=False, is_first_step=False)))
    _twice(probe, "fill_random", _no_grad(lambda y: y.zero_().add_(0.5)))
    _twice(probe, "as_state", _no_grad(
        lambda y: torch._foreach_lerp_([y], [torch.zeros_like(y)], 0.5)))


def _custom_ops():
    @torch.library.custom_op("legality::double_", mutates_args=("y",))
    def double_(y: torch.Tensor) -> None:
        y.mul_(2)

    # As an extension defines one: autograd knows nothing of it.
    library = torch.library.Library("legality_raw", "DEF")
    library.define("fill_(Tensor(a!)[] ys, float value) -> ()")
    library.impl("fill_", lambda ys, value: [y.fill_(value) for y in ys]
                 and None, "CPU")
    return double_, library


@case
def writes_by_custom_ops(probe):
    double_, library = _custom_ops()
    _twice(probe, "torch_library", _no_grad(double_))
    _twice(probe, "raw", _no_grad(
        lambda y: torch.ops.legality_raw.fill_([y], 0.25)))
    # An op that goes takes its guard with it: the list of ops is as without.
    library._destroy()
    nn.Identity()(torch.ones(1))
    probe.note(left=[name for name in torch._C._dispatch_get_all_op_names()
                     if "legality_raw" in name])


@case
def writes_that_autograd_does_not_see(probe):
    _twice(probe, "data", lambda y: (y.data.mul_(2), y)[1])
    _twice(probe, "detached", lambda y: (y.detach().mul_(2), y)[1])
    _twice(probe, "set_data", lambda y: (setattr(y, "data", y.data * 2), y)[1])


@case
def shape_changes_in_place_are_no_writes(probe):
    _twice(probe, "unsqueeze", lambda y: y.unsqueeze_(0).squeeze_(0))
    _twice(probe, "transpose", lambda y: y.t_().t_())
    _twice(probe, "resize", _no_grad(lambda y: y.as_strided_((8, 64), (64, 1))))
    _twice(probe, "unsqueeze_only", lambda y: y.unsqueeze_(0))


@case
def writes_after_the_output_was_saved_are_refused(probe):
    def after_use(write):
        def between(y):
            z = y.sin()
            write(y)
            return z
        return between

    _twice(probe, "mul", after_use(lambda y: y.mul_(2)))
    _twice(probe, "no_grad", after_use(_no_grad(lambda y: y.mul_(2))))
    _twice(probe, "foreach",
           after_use(_no_grad(lambda y: torch._foreach_add_([y], 1.0))))


@case
def input_written_after_the_activation(probe):
    for name, activation in ACTIVATIONS.items():
        def forward(w):
            x = w * 2
            y = activation(x)
            x.add_(1)
            if keep:
                kept.append(x)
            return y * torch.ones_like(y).requires_grad_()

        for keep in (True, False):
            kept = []
            w = nn.Parameter(torch.linspace(-2, 2, 9))
            error = error_of(lambda: in_module(
                f"written_{name}_{keep}", forward)(w).sum().backward())
            # Which node made x last is known as long as the job has x.
            probe.note(**{f"{name}_{keep}": error if keep else
                          error.split("which is")[0]})


@case
def backward_many_times(probe):
    def thrice(loss):
        loss.backward(retain_graph=True)
        loss.backward(retain_graph=True)
        loss.backward()

    _twice(probe, "retained", lambda y: y, backward=thrice)

    def once_too_often(loss):
        loss.backward()
        loss.backward()

    _twice(probe, "released", lambda y: y, backward=once_too_often)


@case
def gradients_of_subsets_and_non_leaves(probe):
    for name, activation in ACTIVATIONS.items():
        net = Net(activation)
        batch = torch.randn(4, 16, requires_grad=True)
        x = net.inner(batch)
        y = activation(x)
        loss = net.outer(y).pow(2).mean()
        take = torch.autograd.grad
        found = [take(loss, y, retain_graph=True)[0],
                 take(loss, x, retain_graph=True)[0],
                 *take(loss, [net.outer.bias], retain_graph=True),
                 *take(loss, [batch, net.inner.weight], retain_graph=True)]
        probe.note_near([float(g.abs().sum()) for g in found])
        y.retain_grad()
        loss.backward()
        probe.note_near([float(y.grad.abs().sum())])


@case
def batched_gradients(probe):
    for activation in ACTIVATIONS.values():
        x = torch.linspace(-3, 3, 7).requires_grad_()
        y = activation(x * 1)
        saver = y * torch.ones(7).requires_grad_()
        (rows,) = torch.autograd.grad(saver, x, torch.eye(7),
                                      is_grads_batched=True)
        probe.note_near(rows.flatten().tolist())


@case
def second_backward_through_training_steps(probe):
    def penalty(loss):
        (g,) = torch.autograd.grad(loss, current[0].inner.weight,
                                   create_graph=True)
        (loss + g.pow(2).sum()).backward()

    for kind, activation in ACTIVATIONS.items():
        torch.manual_seed(5)
        net = type(f"Penalty_{kind}", (Net,), {})(activation)
        current = [net]
        for _ in range(3):
            penalty(net(torch.ones(4, 16)).pow(2).mean())
        probe.note_near(gradients(net))
        probe.fact(**{kind: net.served})


@case
def nothing_is_eliminated(probe):
    """Sites that gain nothing are left alone from the second step on."""
    frozen = type("Frozen", (Net,), {})(F.gelu)
    frozen.outer.requires_grad_(False)
    for _ in range(3):
        probe.step(lambda: frozen(torch.randn(8, 16)).sum(), frozen)

    class Chunked(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate_up, self.down = nn.Linear(16, 128), nn.Linear(64, 16)
            self.served = []

        def forward(self, x):
            gate, up = self.gate_up(x).chunk(2, dim=-1)
            y = F.silu(gate.contiguous() if self.copied else gate)
            self.served.append(inverted(y))
            return self.down(y * up)

    for copied in (False, True):
        chunked = type(f"Chunked_{copied}", (Chunked,), {"copied": copied})()
        for _ in range(3):
            probe.step(lambda: chunked(torch.randn(8, 16)).sum(), chunked)
        probe.fact(**{f"chunked_{copied}": chunked.served})

    class Kept(nn.Module):
        """Another op saves the activation's input."""

        def __init__(self):
            super().__init__()
            self.inner, self.outer = nn.Linear(16, 64), nn.Linear(64, 16)
            self.served = []

        def forward(self, x):
            x = self.inner(x)
            y = F.gelu(x)
            self.served.append(inverted(y))
            return self.outer(y) + self.outer(x.sin())

    kept = Kept()
    for _ in range(3):
        probe.step(lambda: kept(torch.randn(8, 16)).sum(), kept)

    autocast = type("Autocast", (Net,), {})(F.gelu)
    autocast.activation = lambda x: F.gelu(x.float())
    for _ in range(3):
        def forward():
            with torch.autocast("cpu", torch.bfloat16):
                return autocast(torch.randn(8, 16)).float().sum()
        probe.step(forward, autocast)
    probe.fact(frozen=frozen.served, kept=kept.served,
               autocast=autocast.served)


@case
def regions_with_hooks_modes_and_compilers(probe):
    def checkpointed(reentrant):
        net = type(f"Checkpointed_{reentrant}", (Net,), {})(F.gelu)
        for _ in range(2):
            batch = torch.randn(4, 16, requires_grad=True)
            checkpoint(net, batch, use_reentrant=reentrant).sum().backward()
        probe.note_near(gradients(net))
        probe.fact(**{f"checkpoint_{reentrant}": net.served})

    checkpointed(True)
    checkpointed(False)
    hooked = type("Hooked", (Net,), {})(F.gelu)
    for _ in range(2):
        with torch.autograd.graph.save_on_cpu():
            loss = hooked(torch.ones(4, 16)).sum()
        loss.backward()
    probe.note_near(gradients(hooked))
    probe.fact(hooked=hooked.served)

    from torch.utils._python_dispatch import TorchDispatchMode

    class Quiet(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    moded = type("Moded", (Net,), {})(F.gelu)
    for _ in range(2):
        with Quiet():
            moded(torch.ones(4, 16)).sum().backward()
    probe.note_near(gradients(moded))
    probe.fact(moded=moded.served)
    torch._dynamo.reset()
    plain = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
    compiled = torch.compile(plain, backend="aot_eager")
    for _ in range(2):
        compiled(torch.ones(4, 16)).sum().backward()
    probe.note_near(gradients(plain))


@case
def evaluation_mode_under_grad(probe):
    net = _run(probe, "train", lambda y: F.dropout(y, 0.1)).eval()
    net(torch.ones(4, 16)).sum().backward()
    with torch.no_grad():
        outside = net(torch.ones(4, 16))
    with torch.inference_mode():
        inside = net(torch.ones(4, 16))
    probe.note(outside=outside.requires_grad, inside=inside.is_inference())
    probe.note_near([float(outside.sum()), float(inside.sum())])


@case
def threads_over_one_model(probe):
    net = Net(F.silu)
    results = {}

    def work(i):
        batch = torch.randn(8, 16, generator=torch.Generator().manual_seed(i))
        results[i] = torch.autograd.grad(
            net(batch).pow(2).mean(), list(net.parameters()))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    probe.note_near([float(g.abs().sum()) for i in range(6)
                     for g in results[i]])


@case
def copies_and_pickles(probe):
    net = Net(F.gelu)
    y = F.gelu(net.inner(torch.ones(4, 16)))
    stream = io.BytesIO()
    torch.save(y, stream)
    stream.seek(0)
    probe.note(
        deepcopy=error_of(lambda: copy.deepcopy(y)),
        saved=torch.load(stream).requires_grad,
        pickled=pickle.loads(pickle.dumps(y.detach())).shape,
        module=type(copy.deepcopy(net)).__name__)
    net.outer(y).sum().backward()
    probe.note_near(gradients(net))


@case
def hooks_on_the_output(probe):
    order = []

    def between(y):
        y.register_hook(lambda g: order.append("hook") or g * 2)
        y.grad_fn.register_hook(lambda a, b: order.append("node"))
        y.grad_fn.register_prehook(lambda a: order.append("pre"))
        return y

    _twice(probe, "hooks", between)
    probe.note(order=order)


@case
def same_output_used_twice_and_added_up(probe):
    _twice(probe, "residual", lambda y: y + torch.tanh(y) * y)
    _twice(probe, "twice", lambda y: F.gelu(y))
    _twice(probe, "chunks", lambda y: torch.cat(y.chunk(4, dim=1), dim=1))


CASES = names(__name__)

if __name__ == "__main__":
    main()
