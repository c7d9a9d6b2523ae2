"""Programs that must run with invact as they run without it. See probe.py.

A case notes what the program sees: values, error texts, whether objects are
the same. Notes of `near` may differ by what inversion is allowed to change.
"""

import copy
import threading
import weakref

import torch
from torch import nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from probe import case, error_of, gradients, main, names


def _mlp(activation=nn.GELU):
    return nn.Sequential(nn.Linear(16, 64), activation(), nn.Linear(64, 16))


@case
def function_reads_back_the_very_objects(probe):
    class Product(Function):
        @staticmethod
        def forward(ctx, x, weight, mask):
            y = x @ weight.t()
            ctx.save_for_backward(x, weight, mask, y)
            return y

        @staticmethod
        def backward(ctx, dy):
            x, weight_, mask_, y_ = ctx.saved_tensors
            seen.update(
                weight=weight_ is weight, mask=mask_ is mask, input=x is hidden,
                main_grad=hasattr(weight_, "main_grad"),
                mark=getattr(x, "mark", None), output=y_.grad_fn is not None,
                requires=[t.requires_grad for t in (x, weight_, mask_, y_)],
                leaf=[t.is_leaf for t in (x, weight_, mask_, y_)])
            return dy @ weight_, dy.t() @ x, None

    seen = {}
    weight = nn.Parameter(torch.randn(16, 16))
    weight.main_grad = torch.zeros(16, 16)
    mask = torch.ones(4, 16)
    hidden = nn.Linear(16, 16)(torch.randn(4, 16))
    hidden.mark = "mine"
    Product.apply(hidden, weight, mask).sum().backward()
    probe.note(**seen)


@case
def input_told_to_need_a_gradient_after_it_was_saved(probe):
    w = nn.Parameter(torch.randn(4))
    x = torch.randn(4)
    y = x * w
    x.requires_grad_()
    (again,) = torch.autograd.grad(y.sum(), w, create_graph=True)
    probe.note(needs=again.requires_grad, same=again.data_ptr() > 0)


@case
def raw_saved_hooks(probe):
    calls = []
    w = nn.Parameter(torch.randn(8))
    x = torch.randn(8) * 2
    y = x * w
    node = y.grad_fn
    node._raw_saved_self.register_hooks(
        lambda t: calls.append("pack") or (t * 1, t.requires_grad),
        lambda p: calls.append("unpack") or p[0])
    twice = error_of(lambda: node._raw_saved_self.register_hooks(
        lambda t: t, lambda t: t))
    same = torch.equal(node._saved_self, x)
    y.sum().backward()
    z = torch.sigmoid(w * 2)
    z.grad_fn._raw_saved_result.register_hooks(
        lambda t: calls.append(t.requires_grad) or t, lambda t: t)
    z.sum().backward()
    probe.note(calls=calls, twice=twice, same=same, gradient=w.grad.tolist(),
               after=error_of(lambda: node._saved_self),
               late=error_of(lambda: node._raw_saved_self.register_hooks(
                   lambda t: t, lambda t: t)))


@case
def pack_hook_that_writes_in_place(probe):
    def forward():
        with torch.autograd.graph.saved_tensors_hooks(
                lambda t: t.mul_(2), lambda t: t):
            w = nn.Parameter(torch.randn(4))
            return (w * 2).sin() * w

    probe.note(error=error_of(forward))


def _written(program):
    w = nn.Parameter(torch.arange(1.0, 9.0))
    return error_of(lambda: program(w))


@case
def writes_in_place_are_refused_as_pytorch_does(probe):
    def input_of_mul(w):
        x = torch.ones(8)
        y = x * w
        x.add_(1)
        y.sum().backward()

    def activation_input(w):
        x = w * 2
        y = x * x.sin()
        x.add_(1)
        y.sum().backward()

    def own_output(w):
        y = torch.sigmoid(w)
        y.add_(1)
        y.sum().backward()

    def through_a_view(w):
        x = w * 2
        y = x.exp() * x
        x[:2].zero_()
        y.sum().backward()

    def through_its_base(w):
        base = w.repeat(2)
        y = base[:8] * w.sin()
        base.mul_(2)
        y.sum().backward()

    def without_grad(w):
        x = w * 2
        y = x * x.sin()
        with torch.no_grad():
            x.zero_()
        y.sum().backward()

    def parameter_by_optimizer(w):
        y = (w * w.sin()).sum()
        torch.optim.SGD([w], lr=0.1).param_groups[0]["params"][0].data.add_(1)
        y.backward()
        with torch.no_grad():
            z = (w.exp() * w).sum()
        return z

    def optimizer_between(w):
        optimizer = torch.optim.SGD([w], lr=0.1, foreach=True)
        y = (w * w.sin()).sum()
        y.backward(retain_graph=True)
        optimizer.step()
        y.backward()

    def data_is_not_seen(w):
        x = w * 2
        y = x * x.sin()
        x.data.zero_()
        y.sum().backward()

    def in_place_op_saves_its_result(w):
        y = (w * 2).sigmoid_()
        y.mul_(2)
        y.sum().backward()

    def legal_in_place(w):
        y = (w * 2).exp_()
        z = (y + 1).mul_(3).add_(1)
        z.sum().backward()

    probe.note(**{program.__name__: _written(program) for program in (
        input_of_mul, activation_input, own_output, through_a_view,
        through_its_base, without_grad, parameter_by_optimizer,
        optimizer_between, data_is_not_seen, in_place_op_saves_its_result,
        legal_in_place)})


@case
def second_backward_is_refused(probe):
    model, batch = _mlp(), torch.randn(4, 16)
    loss = model(batch).sum()
    loss.backward()
    silu = F.silu(model[0](batch)).sum()
    silu.backward()
    probe.note(error=error_of(loss.backward), silu=error_of(silu.backward))


class Fails(Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, dy):
        raise ValueError("not today")


@case
def exceptions_in_forward_and_backward(probe):
    model, batch = _mlp(), torch.randn(4, 16)

    def bad_forward():
        model(batch)
        model[0](batch[:, :3])

    probe.note(forward=error_of(lambda: probe.forward(bad_forward, model)))
    probe.step(lambda: model(batch).sum(), model)
    loss = probe.forward(lambda: Fails.apply(model(batch)).sum(), model)
    probe.note(backward=error_of(loss.backward))
    del loss
    probe.step(lambda: model(batch).sum(), model)
    probe.note_near(gradients(model))


@case
def nested_backward_that_saves_nothing(probe):
    class Inner(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.inner = inner
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            with torch.enable_grad():
                x = torch.ones(3, requires_grad=True)
                ctx.inner(x).sum().backward()
            return dy

    inner = nn.Linear(3, 3)
    model, batch = _mlp(), torch.randn(4, 16)
    for _ in range(2):
        probe.step(lambda: Inner.apply(model(batch)).sum(), model)
    probe.note_near(gradients(model))


@case
def gradient_penalty(probe):
    model = _mlp()
    batch = torch.randn(4, 16, requires_grad=True)
    loss = model(batch).pow(2).mean()
    (slope,) = torch.autograd.grad(loss, batch, create_graph=True)
    (loss + slope.pow(2).sum()).backward()
    probe.note_near(gradients(model) + [float(batch.grad.abs().sum())])


@case
def third_derivatives(probe):
    x = torch.linspace(-3, 3, 13, requires_grad=True)
    y = (x.tanh() * x.sigmoid()).sum()
    found = []
    for _ in range(3):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        found.append(y.detach().tolist())
    probe.note(derivatives=found)


@case
def threads_each_with_their_own_graph(probe):
    models = [_mlp() for _ in range(4)]
    batch = torch.randn(8, 16)

    def work(model):
        for _ in range(10):
            model(batch).pow(2).mean().backward()

    threads = [threading.Thread(target=work, args=(m,)) for m in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    probe.note_near(gradients(*models))


@case
def threads_share_one_graph(probe):
    model, batch = _mlp(), torch.randn(8, 16)
    hidden = model(batch)
    losses = [(hidden * k).sum() for k in (1.0, 2.0)]

    def work(loss):
        loss.backward(retain_graph=True)

    threads = [threading.Thread(target=work, args=(x,)) for x in losses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    probe.note_near(gradients(model))


def _replicas(model, batches, results):
    def work(i):
        with torch.enable_grad():
            results[i] = model(batches[i]).sum()

    threads = [threading.Thread(target=work, args=(i,))
               for i in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@case
def forwards_in_threads_one_backward(probe):
    model = _mlp()
    batches = torch.randn(3, 4, 16).unbind()
    results = {}
    _replicas(model, batches, results)
    sum(results[i] for i in range(3)).backward()
    probe.note_near(gradients(model))


@case
def compiled_by_aot_eager(probe):
    torch._dynamo.reset()
    model, batch = _mlp(), torch.randn(4, 16)
    compiled = torch.compile(model, backend="aot_eager")
    for _ in range(2):
        compiled(batch).pow(2).mean().backward()
    probe.note_near(gradients(model))
    probe.note(broken=len(torch._dynamo.utils.counters["graph_break"]))


class Blocks(nn.Module):
    def __init__(self, reentrant=None):
        super().__init__()
        self.blocks = nn.ModuleList(_mlp() for _ in range(3))
        self.reentrant = reentrant

    def forward(self, x):
        for block in self.blocks:
            x = x + (block(x) if self.reentrant is None else checkpoint(
                block, x, use_reentrant=self.reentrant))
        return x.pow(2).mean()


def _checkpointed(probe, reentrant):
    model, batch = Blocks(reentrant), torch.randn(4, 16, requires_grad=True)
    for _ in range(2):
        loss = model(batch)
        probe.save_totals("kept")
        loss.backward()
    probe.note_near(gradients(model))


@case
def checkpoint_reentrant(probe):
    _checkpointed(probe, True)


@case
def checkpoint_non_reentrant(probe):
    _checkpointed(probe, False)


@case
def saved_on_cpu(probe):
    model, batch = _mlp(), torch.randn(4, 16)
    for _ in range(2):
        with torch.autograd.graph.save_on_cpu():
            loss = model(batch).pow(2).mean()
        probe.save_totals("kept")
        loss.backward()
    probe.note_near(gradients(model))


@case
def hooks_that_pass_tensors_through(probe):
    model, batch = _mlp(nn.Tanh), torch.randn(4, 16)
    packed = []
    with torch.autograd.graph.saved_tensors_hooks(
            lambda t: packed.append(tuple(t.shape)) or t, lambda t: t):
        loss = model(batch).pow(2).mean()
    probe.save_totals("kept")
    loss.backward()
    probe.note(packed=packed)
    probe.note_near(gradients(model))


@case
def hooks_that_halve(probe):
    model, batch = _mlp(nn.Tanh), torch.randn(4, 16)
    with torch.autograd.graph.saved_tensors_hooks(
            lambda t: t.bfloat16(), lambda t: t.float()):
        loss = model(batch).pow(2).mean()
    probe.save_totals("kept")
    loss.backward()
    probe.note_near(gradients(model))


@case
def hooks_that_keep_something_else(probe):
    store = {}

    def pack(tensor):
        store[len(store)] = tensor.detach().clone()
        return len(store) - 1

    model, batch = _mlp(nn.Tanh), torch.randn(4, 16)
    with torch.autograd.graph.saved_tensors_hooks(pack, store.__getitem__):
        loss = model(batch).pow(2).mean()
    probe.save_totals("kept")
    loss.backward()
    probe.note(kept_in_store=len(store))
    probe.note_near(gradients(model))


@case
def hooks_switched_off(probe):
    model, batch = _mlp(), torch.randn(4, 16)
    with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
        loss = model(batch).pow(2).mean()
        error = error_of(lambda: torch.autograd.graph.saved_tensors_hooks(
            lambda t: t, lambda t: t).__enter__())
    loss.backward()
    probe.note(error=error)
    probe.note_near(gradients(model))


@case
def functorch_transforms(probe):
    model, batch = _mlp(), torch.randn(4, 16)
    parameters = {n: p.detach() for n, p in model.named_parameters()}

    def loss(p, x):
        return torch.func.functional_call(model, p, (x,)).pow(2).mean()

    grads = torch.func.grad(loss)(parameters, batch)
    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, batch)
    with torch.no_grad():
        _, tangent = torch.func.jvp(model, (batch,), (batch * 0.1,))
    hessian = torch.func.hessian(lambda x: F.gelu(x).sum())(batch[0, :3])
    probe.note(values=[
        [float(g.abs().sum()) for g in grads.values()],
        [float(g.abs().sum()) for g in each.values()],
        float(tangent.abs().sum()), hessian.tolist()])
    # A transform inside a training step.
    scale = torch.func.grad(lambda x: x.pow(3).sum())(batch)
    probe.step(lambda: (model(batch) * scale).sum(), model)


@case
def forward_mode(probe):
    import torch.autograd.forward_ad as fwad
    model, batch = _mlp(), torch.randn(4, 16)
    with fwad.dual_level():
        y = model(fwad.make_dual(batch, torch.ones_like(batch)))
        tangent = fwad.unpack_dual(y).tangent
    probe.note(tangent=float(tangent.abs().sum()))
    y.sum().backward()
    probe.note_near(gradients(model))


@case
def dispatch_mode(probe):
    from torch.utils._python_dispatch import TorchDispatchMode
    seen = []

    class Log(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    model, batch = _mlp(), torch.randn(4, 16)
    with Log():
        loss = model(batch).pow(2).mean()
        loss.backward()
    probe.note(ops=seen)
    probe.note_near(gradients(model))


@case
def tensor_subclasses(probe):
    class Named(torch.Tensor):
        pass

    class Wrapped(torch.Tensor):
        @staticmethod
        def __new__(cls, inner):
            made = torch.Tensor._make_wrapper_subclass(
                cls, inner.shape, dtype=inner.dtype,
                requires_grad=inner.requires_grad)
            made.inner = inner
            return made

        @classmethod
        def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
            peel = lambda t: t.inner if isinstance(t, Wrapped) else t
            out = func(*torch.utils._pytree.tree_map(peel, args),
                       **torch.utils._pytree.tree_map(peel, kwargs or {}))
            return torch.utils._pytree.tree_map(
                lambda t: Wrapped(t) if isinstance(t, torch.Tensor) else t, out)

    model, batch = _mlp(), torch.randn(4, 16)
    y = model(batch.as_subclass(Named))
    kind = type(y).__name__
    y.pow(2).mean().backward()
    wrapped = Wrapped(torch.randn(4, 16)).requires_grad_()
    z = F.gelu(wrapped) * wrapped
    z.sum().backward()
    probe.note(kind=kind, wrapped=type(z).__name__,
               gradient=type(wrapped.grad).__name__,
               value=float(wrapped.grad.inner.sum()))
    probe.note_near(gradients(model))


@case
def quantised_and_fake_quantised(probe):
    model, batch = _mlp(), torch.randn(4, 16)
    y = torch.fake_quantize_per_tensor_affine(model(batch), 0.1, 0, -128, 127)
    y.sum().backward()
    q = torch.quantize_per_tensor(batch, 0.1, 0, torch.qint8)
    probe.note(q=float(q.dequantize().sum()))
    probe.note_near(gradients(model))


@case
def scripted_and_traced_modules(probe):
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(16, 16)

        def forward(self, x):
            return F.silu(self.linear(x)) * x

    model, batch = Gate(), torch.randn(4, 16)
    traced = torch.jit.trace(model, batch, check_trace=False)
    scripted = torch.jit.script(Gate())
    scripted.load_state_dict(model.state_dict())
    for made in (traced, scripted):
        for _ in range(3):
            made(batch).sum().backward()
    probe.note_near(gradients(model, scripted))


@case
def anomaly_mode(probe):
    model, batch = _mlp(), torch.randn(4, 16)
    with torch.autograd.detect_anomaly(check_nan=True):
        model(batch).pow(2).mean().backward()
        bad = error_of(lambda: (model(batch) * float("nan")).sqrt().sum()
                       .backward())
    probe.note(nan="nan values" in (bad or ""))


@case
def copies_pickles_and_hooks(probe):
    model, batch = _mlp(), torch.randn(4, 16)
    order = []
    hidden = F.gelu(model[0](batch))
    hidden.register_hook(lambda g: order.append("tensor"))
    hidden.grad_fn.register_hook(lambda i, o: order.append("node"))
    hidden.grad_fn.register_prehook(lambda o: order.append("pre"))
    hidden.retain_grad()
    model[2].register_full_backward_hook(lambda m, i, o: order.append("module"))
    model[2](hidden).sum().backward()
    probe.note(order=order, name=hidden.grad_fn.name(),
               retained=hidden.grad.shape,
               error=error_of(lambda: copy.deepcopy(hidden)),
               copied=copy.deepcopy(hidden.detach()).requires_grad)
    probe.note_near(gradients(model))


@case
def gradients_of_some_inputs_only(probe):
    model = _mlp()
    batch = torch.randn(4, 16, requires_grad=True)
    hidden = F.silu(model[0](batch))
    loss = model[2](hidden).pow(2).sum()
    some = torch.autograd.grad(
        loss, [hidden, model[2].weight], retain_graph=True)
    unused = torch.autograd.grad(
        loss, [batch, nn.Parameter(torch.ones(1))], allow_unused=True)
    probe.note(unused=unused[1] is None)
    probe.note_near([float(g.abs().sum()) for g in (*some, unused[0])])


@case
def storages_given_another_size(probe):
    model, batch = _mlp(nn.Tanh), torch.randn(4, 16)
    hidden = model[0](batch)
    loss = (hidden * hidden.sin()).sum()
    before = hidden.detach().clone()
    storage = hidden.untyped_storage()
    size = storage.nbytes()
    storage.resize_(0)
    probe.save_totals("emptied")
    storage.resize_(size)
    with torch.no_grad():
        hidden.data.copy_(before)
    loss.backward()
    probe.note_near(gradients(model))


@case
def storage_replaced_under_a_saved_tensor(probe):
    w = nn.Parameter(torch.randn(64))
    x = w * 2
    y = x * x.sin()
    x.data = torch.zeros(64)
    others = [torch.randn(64) for _ in range(64)]
    z = sum((w * other).sum() for other in others)
    probe.save_totals("kept")
    (y.sum() + z).backward()
    probe.note(gradient=w.grad.tolist())


@case
def activation_checkpoint_of_selected_ops(probe):
    from functools import partial
    from torch.utils.checkpoint import (
        CheckpointPolicy, create_selective_checkpoint_contexts)

    def policy(ctx, op, *args, **kwargs):
        return (CheckpointPolicy.MUST_SAVE if op is torch.ops.aten.addmm.default
                else CheckpointPolicy.PREFER_RECOMPUTE)

    model, batch = _mlp(), torch.randn(4, 16, requires_grad=True)
    y = checkpoint(model, batch, use_reentrant=False, context_fn=partial(
        create_selective_checkpoint_contexts, policy))
    y.pow(2).mean().backward()
    probe.note_near(gradients(model))


@case
def graphs_die_when_dropped(probe):
    model, batch = _mlp(), torch.randn(4, 16)
    hidden = model[0](batch)
    alive = weakref.ref(hidden)
    y = F.gelu(hidden) * torch.sigmoid(hidden)
    del hidden
    kept = alive() is not None
    del y
    probe.note(dead=alive() is None)
    probe.fact(kept=kept)


CASES = names(__name__)

if __name__ == "__main__":
    main()
