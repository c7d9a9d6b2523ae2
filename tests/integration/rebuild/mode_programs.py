"""Programs under transforms and modes, of subclasses, compiled, and with
functions of their own. See programs_job.py."""

import torch
import torch.autograd.forward_ad as fwad
from torch import nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from digests import digest, gradients
from probe import error_of
from program_parts import WIDTH, batch, blocks, program, run_backward


@program
def transforms_within_a_step(look):
    net, x = blocks(dropout=0), batch()
    parameters = {n: p.detach() for n, p in net.named_parameters()}

    def loss(p, t):
        return torch.func.functional_call(net, p, (t,)).pow(2).mean()

    before = net(x).pow(2).mean()
    look()
    grads = torch.func.grad(loss)(parameters, x)
    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(
        parameters, x.unsqueeze(1))
    _, tangent = torch.func.jvp(net, (x,), (x * 0.1,))
    _, pull = torch.func.vjp(net, x)
    hessian = torch.func.hessian(lambda t: F.gelu(t).sin().sum())(x[0, :5])
    return [run_backward(before, net), digest(tangent), digest(hessian),
            digest(pull(x)[0]), [digest(g) for g in grads.values()],
            [digest(g) for g in each.values()]]


@program
def a_backward_through_a_transform(look):
    net, x = blocks(dropout=0), batch()
    y = net(x)
    look()
    slopes = torch.func.vmap(torch.func.grad(lambda t: F.gelu(t).pow(2).sum()))
    return run_backward(slopes(y).sum(), net)


@program
def forward_mode_over_a_graph(look):
    net, x = blocks(dropout=0), batch()
    with fwad.dual_level():
        y = net(fwad.make_dual(x, torch.ones_like(x)))
        tangent = fwad.unpack_dual(y).tangent
        z = net(x).sin().sum()
        look()
        first = run_backward(tangent.pow(2).sum() + y.sum(), net)
    return [first, run_backward(z, net)]


@program
def modes_in_forward_or_backward(look):
    class Log(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    class Names(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    net, seen = blocks(), []
    with Log():
        first = net(batch()).pow(2).mean()
    with Names():
        second = net(batch()).pow(2).mean()
    third = net(batch()).pow(2).mean()
    look()
    found = [run_backward(first, net)]
    with Names():
        found.append(run_backward(second, net))
    # What is rebuilt there is no op of the program's.
    with Log():
        found.append(run_backward(third, net))
    return [found, seen]


class Named(torch.Tensor):
    """A subclass that torch's own ops keep."""


@program
def subclasses_among_plain_tensors(look):
    net = blocks()
    plain = net(batch()).pow(2).mean()
    named = net(batch().as_subclass(Named))
    wrapped = nn.Parameter(batch().as_subclass(Named))
    mixed = F.gelu(wrapped) * net[0](batch())
    look()
    return [type(named).__name__, type(mixed).__name__,
            run_backward(plain, net), run_backward(named.sin().sum(), net),
            error_of(mixed.sum().backward), digest(
                wrapped.grad.as_subclass(torch.Tensor))]


def _compiled(backend):
    def run(look):
        torch._dynamo.reset()
        net = blocks(3, dropout=0)
        net[1] = torch.compile(net[1], backend=backend)
        loss = net(batch()).pow(2).mean()
        look()
        found = [run_backward(loss, net)]
        with torch.autocast("cpu", torch.bfloat16):
            loss = net(batch()).float().pow(2).mean()
        return found + [run_backward(loss, net)]

    run.__name__ = f"compiled_by_{backend}"
    program(run)


_compiled("eager")
_compiled("aot_eager")


class Product(Function):
    @staticmethod
    def forward(ctx, x, weight):
        y = x @ weight.t()
        ctx.save_for_backward(x, weight, y)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight, y = ctx.saved_tensors
        again, _, _ = ctx.saved_tensors
        seen.append([x is again, weight is ctx.weight, x.requires_grad,
                     x.is_leaf, x.stride(), x._version, digest(x), digest(y),
                     x.grad_fn and x.grad_fn.name(),
                     y.grad_fn and y.grad_fn.name()])
        return dy @ weight, dy.t() @ x


seen = []


@program
def functions_of_the_job(look):
    class Again(Product):
        @staticmethod
        def forward(ctx, x, weight):
            ctx.weight = weight
            return Product.forward(ctx, x, weight)

    seen.clear()
    up = nn.Linear(WIDTH, WIDTH)
    weight = nn.Parameter(torch.randn(WIDTH, WIDTH))
    h = F.silu(up(batch()))
    y = Again.apply(h, weight)
    z = Again.apply(h.t(), weight) + Again.apply(h, weight)
    del h
    loss = y.sum() + z.pow(2).sum()
    look()
    found = run_backward(loss, up)
    return [found, digest(weight.grad), list(seen)]


@program
def a_function_that_writes_to_what_it_saved(look):
    class Overwrites(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, dy):
            x, = ctx.saved_tensors
            found.append([digest(x), error_of(lambda: x.mul_(3)), x._version])
            return dy * x

    net, found = nn.Linear(WIDTH, WIDTH), []
    heads = [nn.Linear(WIDTH, WIDTH).bfloat16() for _ in range(2)]
    x = net(batch())
    source = x.tanh()
    first, second = source.bfloat16(), source.bfloat16()
    loss = Overwrites.apply(first).float().sum() + heads[0](
        second).float().sum() + heads[1](source.bfloat16()).float().sum()
    del source, first, second, x
    look()
    return [run_backward(loss, net, *heads), found]


@program
def autocast_nested_and_disabled(look):
    net, found = blocks(3), []
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype):
            x = net[0](batch())
            with torch.autocast("cpu", enabled=False):
                x = net[1](x.float())
                with torch.autocast("cpu", torch.bfloat16,
                                    cache_enabled=False):
                    x = net[2](x)
            loss = x.float().pow(2).mean()
            look()
            first = torch.autograd.grad(loss, list(net.parameters()),
                                        retain_graph=True)
        found.append([digest(g) for g in first])
        found.append(run_backward(loss, net))
    return found


@program
def random_states_around_a_step(look):
    net = blocks(3, dropout=0.4)
    loss = net(batch())
    with torch.random.fork_rng():
        torch.manual_seed(3)
        loss = loss + net(batch())
    state = torch.get_rng_state()
    loss = (F.dropout(F.gelu(loss), 0.3) * torch.rand_like(loss)).pow(2).mean()
    look()
    found = run_backward(loss, net)
    after = digest(torch.get_rng_state())
    torch.set_rng_state(state)
    return [found, after, digest(torch.rand(5)), gradients(net)]
