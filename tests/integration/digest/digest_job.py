"""Backwards of many kinds. Prints one JSON object: what each step's losses and
gradients were, by an implementation of the digest of its own in numpy, and a
hash of all that the guest must not change."""

import hashlib
import json
import struct
import threading

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

MASK = np.uint64(0xffffffff)
SHIFT = np.uint64(32)
INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def mix(x):
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        x = (x ^ (x >> SHIFT)) * np.uint64(factor)
    return x ^ (x >> SHIFT)


def digest(tensor, step):
    """docs/compare.md, by numpy on a row-major copy."""
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.complex128:
        tensor = torch.view_as_real(tensor)
    bits = tensor.view(INTEGERS[tensor.element_size()]).numpy()
    bits = bits.astype(np.int64).reshape(-1).view(np.uint64)
    places = np.arange(bits.size, dtype=np.uint64) * np.uint64(
        0x9E3779B97F4A7C15)
    seed = mix(np.array([step + 1], dtype=np.uint64))
    return int(mix(bits + places + seed).sum(dtype=np.uint64))


def loss_bits(loss):
    return struct.unpack("<Q", struct.pack("<d", float(loss)))[0]


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.sparse = nn.Embedding(50, 16, sparse=True)
        self.conv = nn.Conv2d(4, 6, 3, padding=1)
        self.body = nn.Sequential(nn.Linear(16, 16), nn.GELU(),
                                  nn.Linear(16, 16))
        self.wide = nn.Linear(16, 70001, bias=False)  # two chunks and a rest
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.embed.weight  # shared
        self.unused = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
        self.phase = nn.Parameter(torch.ones(3, dtype=torch.complex128))
        self.low = nn.Parameter(torch.ones(5, 7, dtype=torch.bfloat16))
        self.small = nn.Parameter(torch.ones(7, dtype=torch.float16))

    def forward(self, tokens, image, reentrant=False):
        x = self.embed(tokens) + self.sparse(tokens)
        x = (checkpoint(self.body, x, use_reentrant=True) if reentrant
             else self.body(x))
        logits = self.head(x)
        out = F.cross_entropy(logits, tokens) + self.wide(x).square().mean()
        out = out + self.conv(image).square().mean()
        out = out + (self.low.float().sum() * self.small.float().sum()) * 1e-3
        rest = self.scale * (self.phase * self.phase.conj()).real.sum()
        return out + rest.float() * 1e-2


class Recorder:
    """One entry a backward, in their order: each of them saves something."""

    def __init__(self, model):
        self.model = model
        self.steps = []

    def note(self, losses=(), unseen=(), extra=()):
        step = len(self.steps)
        gradients = {name: digest(p.grad, step)
                     for name, p in self.model.named_parameters()
                     if p.grad is not None and not p.grad.is_sparse}
        gradients.update({name: digest(grad, step) for name, grad in extra})
        sparse = [name for name, p in self.model.named_parameters()
                  if p.grad is not None and p.grad.is_sparse]
        self.steps.append({
            "losses": {str(place): loss_bits(loss) for place, loss in losses},
            "gradients": gradients,
            "unseen": {**{name: "SPARSE" for name in sparse},
                       **dict(unseen)}})


def two_threads(recorder):
    """The second backward begins and ends inside the first one: one step."""
    model = recorder.model
    model.zero_grad(set_to_none=True)
    inside, other_done = threading.Event(), threading.Event()
    first = model.body[0](torch.ones(2, 16)).square().mean()
    second = model.body[2](torch.ones(2, 16)).square().mean()
    value = first * 2

    def wait(grad):
        inside.set()
        assert other_done.wait(60)

    first.register_hook(wait)
    thread = threading.Thread(target=value.backward)
    thread.start()
    assert inside.wait(60)
    second.backward()
    other_done.set()
    thread.join()
    recorder.note([(0, value), (1, second)])


def run():
    torch.manual_seed(7)
    torch.set_num_threads(2)
    model = Model().to(memory_format=torch.channels_last)
    recorder = Recorder(model)
    tokens = torch.randint(0, 50, (12,))
    image = torch.randn(2, 4, 8, 8).to(memory_format=torch.channels_last)

    loss = model(tokens, image)
    loss.backward()
    recorder.note([(0, loss)])
    assert not model.conv.weight.grad.is_contiguous()

    # Accumulated on top of it.
    loss = model(tokens, image)
    loss.backward()
    recorder.note([(0, loss)])

    # Two losses; the graph is kept and used again.
    model.zero_grad(set_to_none=True)
    first, second = model(tokens, image), model.body(torch.randn(4, 16)).sum()
    torch.autograd.backward([first, second], retain_graph=True)
    recorder.note([(0, first), (1, second)])

    # The root is no scalar.
    out = model.body(torch.randn(4, 16))
    out.backward(torch.randn(4, 16))
    recorder.note()

    # One scalar of a vector: what is at its root is no leaf of a module.
    free = torch.randn(6, requires_grad=True)
    other = torch.randn(2, 3, requires_grad=True)
    loss = (free.exp().sum() * other.exp()).sum() / 3
    loss.backward()
    recorder.note([(0, loss)])
    recorder.steps[-1]["leaves"] = sorted(
        [digest(free.grad, 4), digest(other.grad, 4)])

    # A hook takes the gradient as soon as it is there.
    def take(parameter):
        parameter.grad = None

    hook = model.body[0].weight.register_post_accumulate_grad_hook(take)
    loss = model(tokens, image)
    loss.backward()
    recorder.note([(0, loss)], {"body.0.weight": "NOT_KEPT"})
    hook.remove()

    # Set by other means, on a parameter that nothing uses.
    model.unused.weight.grad = torch.full((3, 3), 0.25)
    loss = model(tokens, image)
    loss.backward()
    recorder.note([(0, loss)])
    model.unused.weight.grad = None

    # Gradients that are not accumulated: those of before stand.
    loss = model.body(torch.randn(4, 16)).square().sum()
    torch.autograd.grad(loss, list(model.body.parameters()))
    recorder.note([(0, loss)])

    # A backward inside the backward, which accumulates for inputs, too.
    model.zero_grad(set_to_none=True)
    loss = model(tokens, image, reentrant=True)
    loss.backward()
    recorder.note([(0, loss)])

    # Ended while autocast is on, and by two threads at once.
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(tokens, image)
        loss.backward()
    recorder.note([(0, loss)])
    two_threads(recorder)

    # Not a number, in loss and gradients.
    model.zero_grad(set_to_none=True)
    loss = (model.body(torch.full((2, 16), float("nan")))).sum()
    loss.backward()
    recorder.note([(0, loss)])

    # A failed backward is no step; the one after it is.
    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            raise RuntimeError("of the job's own")

    try:
        Fails.apply(model.body(torch.randn(4, 16))).sum().backward()
    except RuntimeError as error:
        assert "of the job's own" in str(error)
    recorder.steps.append(None)
    model.zero_grad(set_to_none=True)
    loss = model(tokens, image)
    loss.backward()
    recorder.note([(0, loss)])

    state = hashlib.sha256()
    for tensor in [torch.get_rng_state(), loss.detach(),
                   *(p.grad for p in model.parameters() if p.grad is not None)]:
        dense = tensor.to_dense() if tensor.is_sparse else tensor
        flat = dense.detach().contiguous().reshape(-1)
        state.update(flat.view(torch.uint8).numpy().tobytes())
    print(json.dumps({"steps": recorder.steps, "state": state.hexdigest()}))


run()
