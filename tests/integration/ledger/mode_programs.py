"""Programs in threads, under transforms and modes. See programs_job.py."""

import threading

import torch
from torch import nn
from torch.nn import functional as F

from probe import case, error_of, gradients
from program_parts import mlp


@case
def threads_each_with_their_own_graph(probe):
    models = [mlp() for _ in range(4)]
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
    model, batch = mlp(), torch.randn(8, 16)
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
    model = mlp()
    batches = torch.randn(3, 4, 16).unbind()
    results = {}
    _replicas(model, batches, results)
    sum(results[i] for i in range(3)).backward()
    probe.note_near(gradients(model))


@case
def compiled_by_aot_eager(probe):
    torch._dynamo.reset()
    model, batch = mlp(), torch.randn(4, 16)
    compiled = torch.compile(model, backend="aot_eager")
    for _ in range(2):
        compiled(batch).pow(2).mean().backward()
    probe.note_near(gradients(model))
    probe.note(broken=len(torch._dynamo.utils.counters["graph_break"]))


@case
def functorch_transforms(probe):
    model, batch = mlp(), torch.randn(4, 16)
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
    model, batch = mlp(), torch.randn(4, 16)
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

    model, batch = mlp(), torch.randn(4, 16)
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

    model, batch = mlp(), torch.randn(4, 16)
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
    model, batch = mlp(), torch.randn(4, 16)
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
    model, batch = mlp(), torch.randn(4, 16)
    with torch.autograd.detect_anomaly(check_nan=True):
        model(batch).pow(2).mean().backward()
        bad = error_of(lambda: (model(batch) * float("nan")).sqrt().sum()
                       .backward())
    probe.note(nan="nan values" in (bad or ""))
