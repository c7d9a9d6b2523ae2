"""Programs of plain tensors and functions. See programs_job.py.

No module has been called when the first begins, so what guards it must come
with the ops themselves. Later ones are called as modules, but for having sites
of their own: one that was written is left alone.
"""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from digests import digest
from probe import error_of, in_module
from program_parts import ROWS, WIDTH, batch, program


def weights(count=2):
    return [torch.randn(WIDTH, WIDTH).mul_(0.1).requires_grad_()
            for _ in range(count)]


def _backward(loss, leaves):
    return [digest(loss), error_of(loss.backward),
            [digest(leaf.grad) for leaf in leaves]]


_ops = torch.library.Library("invact_programs", "DEF")
_ops.define("fill_(Tensor(a!) x) -> ()")
_ops.define("fill_all_(Tensor(a!)[] xs) -> ()")


def _fill(x):
    """Without an op: NumPy over the same memory."""
    x.detach().view(torch.uint8).numpy()[:] = 60


def _fill_all(xs):
    for x in xs:
        _fill(x)


_ops.impl("fill_", _fill, "CPU")
_ops.impl("fill_all_", _fill_all, "CPU")


@program
def an_op_of_the_job_writes_a_base(look):
    leaves = weights()
    base = batch(torch.bfloat16)
    loss = (base.float() @ leaves[0]).pow(2).mean()
    look()
    torch.ops.invact_programs.fill_(base)
    return [digest(base), _backward(loss, leaves)]


def _at(name, function, *arguments):
    """The call's saved tensors have sites of that name."""
    return in_module(name, function)(*arguments)


def _from_a_base(base, weight):
    return (base.float() @ weight).pow(2).mean()


CHANGES = {
    "written_in_a_list": lambda t, other:
        torch.ops.invact_programs.fill_all_([t]),
    "swapped": torch.utils.swap_tensors,
    "shared": lambda t, other: t.share_memory_(),
    "storage_shared": lambda t, other: t.untyped_storage().share_memory_(),
    "axes_swapped": lambda t, other: t.swapaxes_(0, 1),
    "state_set": lambda t, other: t.__setstate__((
        other.untyped_storage(), 0, (ROWS, WIDTH), (WIDTH, 1))),
}


def _change(name, change):
    def run(look):
        leaves, base = weights(1), batch(torch.bfloat16)
        loss = _at(name, _from_a_base, base, leaves[0])
        look()
        refused = error_of(lambda: change(base, batch(torch.bfloat16)))
        return [refused, digest(base), _backward(loss, leaves)]

    run.__name__ = f"a_base_is_{name}"
    program(run)


for _name, _made in CHANGES.items():
    _change(_name, _made)


@program
def an_op_of_the_job_writes_what_is_rebuilt(look):
    leaves, found = weights(), []
    for early in (False, True):
        def run(x, a, b, early=early):
            y = F.silu(x @ a)
            if early:
                torch.ops.invact_programs.fill_(y.detach())
            return y, (y @ b).pow(2).mean()

        y, loss = _at(f"Early{early}", run, batch(), *leaves)
        if not early:
            look()
            torch.ops.invact_programs.fill_(y.detach())
        found.append(_backward(loss, leaves))
    return found


@program
def an_op_defined_meanwhile(look):
    leaves = weights()
    base = batch(torch.bfloat16)
    loss = _at("Meanwhile", _from_a_base, base, leaves[0])
    look()
    ops = torch.library.Library("invact_later", "FRAGMENT")
    ops.define("late_(Tensor(a!) x) -> ()")
    ops.impl("late_", _fill, "CPU")
    again = F.silu(batch() @ leaves[1]).sum()
    torch.ops.invact_later.late_(base)
    found = _backward(loss + again, leaves)
    ops._destroy()
    return [found, digest(base)]


@torch.jit.script
def _gated(x, a, b):
    y = torch.sigmoid(x @ a) * (x @ b)
    return torch.tanh(y) + torch.nn.functional.gelu(y)


@program
def functions_scripted_and_traced(look):
    traced = torch.jit.trace(lambda x, a: F.gelu(x @ a) * 2,
                             (batch(), weights()[0]))
    leaves, found = weights(4), []

    def run(x):
        x = torch.sigmoid(x @ leaves[0])
        return (traced(_gated(x, *leaves[1:3]), leaves[3]) * x).pow(2).mean()

    for _ in range(3):  # profiled, then optimised
        loss = _at("Scripted", run, batch())
        look()
        found.append(_backward(loss, leaves))
    return found


@program
def the_default_dtype_changes_before_the_backward(look):
    leaves = weights(3)
    counts = torch.randint(0, 9, (ROWS, WIDTH)).to(torch.int8)

    def run(x):
        y = F.gelu(x @ leaves[2])
        return ((counts * 0.5).sigmoid() @ leaves[0]).pow(2).mean() + (
            torch.exp(counts) @ leaves[1]).mean() + (y @ leaves[1]).sin().sum()

    loss = _at("Counts", run, batch())
    look()
    torch.set_default_dtype(torch.float64)
    try:
        return _backward(loss, leaves)
    finally:
        torch.set_default_dtype(torch.float32)


@program
def a_trace_taken_within_a_step(look):
    leaves = weights()
    x = F.silu(batch() @ leaves[0])
    graph = make_fx(lambda t: F.gelu(t) * t)(x.detach())
    with FakeTensorMode(allow_non_fake_inputs=True):
        torch.tanh(torch.empty(ROWS, WIDTH)).sum()
    loss = (graph(x) @ leaves[1]).pow(2).mean()
    look()
    return [graph.code, _backward(loss, leaves)]


@program
def under_the_profiler(look):
    leaves = weights()
    with torch.profiler.profile(record_shapes=True, profile_memory=True):
        loss = (F.gelu(F.silu(batch() @ leaves[0])) @ leaves[1]).sum()
        look()
        return _backward(loss, leaves)
