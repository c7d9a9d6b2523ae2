"""Programs whose own hooks take part of what is saved: to the host, quantized,
selectively computed again, refused. See programs_job.py."""

from functools import partial

import torch
from torch import nn
from torch.autograd.graph import (
    allow_mutation_on_saved_tensors, disable_saved_tensors_hooks, save_on_cpu,
    saved_tensors_hooks)
from torch.nn import functional as F
from torch.utils.checkpoint import (
    CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts)

from digests import digest, gradients
from probe import error_of
from program_parts import WIDTH, batch, blocks, program, run_backward


def _selective(name, choose):
    def run(look):
        net, seen = blocks(4), []

        def policy(ctx, op, *args, **kwargs):
            seen.append(str(op))
            return choose(op)

        x = net[0](batch())
        for part in net[1:3]:
            x = checkpoint(part, x, use_reentrant=False, context_fn=partial(
                create_selective_checkpoint_contexts, policy))
        loss = net[3](x).pow(2).mean()
        look()
        return [run_backward(loss, net), seen]

    run.__name__ = f"selectively_checkpointed_{name}"
    program(run)


_MATRIX = {torch.ops.aten.addmm.default, torch.ops.aten.mm.default}
_CHEAP = {torch.ops.aten.gelu.default, torch.ops.aten.native_layer_norm.default,
          torch.ops.aten.native_dropout.default}
_selective("matrix_products", lambda op: CheckpointPolicy.MUST_SAVE
           if op in _MATRIX else CheckpointPolicy.PREFER_RECOMPUTE)
_selective("activations", lambda op: CheckpointPolicy.MUST_SAVE
           if op in _CHEAP else CheckpointPolicy.MUST_RECOMPUTE)


@program
def saved_on_the_host_all_over(look):
    net, found = blocks(3), []
    base = net[0](batch())
    for pin in (False, None):
        with save_on_cpu() if pin is None else save_on_cpu(pin_memory=pin):
            y = net[1](F.gelu(base))
        # Bases inside are made again from outside, and the other way round.
        loss = (net[2](y) * F.silu(base) + F.gelu(y)).pow(2).mean()
        look()
        found.append(error_of(lambda: loss.backward(retain_graph=True)))
        found.append(gradients(net))
    return found + [run_backward(loss, net)]


def _quantize(t):
    if not t.is_floating_point() or t.numel() < 64:
        return t
    scale = t.abs().amax() / 127
    return (t / scale).round().to(torch.int8), scale, t.dtype


def _dequantize(packed):
    if isinstance(packed, torch.Tensor):
        return packed
    q, scale, dtype = packed
    return (q * scale).to(dtype)


@program
def hooks_that_quantize(look):
    net = blocks(3)
    x = net[0](batch())
    with saved_tensors_hooks(_quantize, _dequantize):
        y = F.gelu(x) * torch.sigmoid(x)
        y = net[1](y)
    loss = (net[2](y) + F.gelu(x)).pow(2).mean()
    look()
    return run_backward(loss, net)


@program
def hooks_that_cast_on_a_part_of_a_chain(look):
    net = blocks(2)
    x = net[0](batch())
    with saved_tensors_hooks(lambda t: (t.half(), t.dtype),
                             lambda p: p[0].to(p[1])):
        middle = torch.tanh(x * 2).exp()
    loss = net[1](middle.neg().sigmoid() * middle).pow(2).mean()
    look()
    return run_backward(loss, net)


def _fails_at(number):
    calls = []

    def pack(t):
        calls.append(digest(t))
        if len(calls) == number:
            raise ValueError(f"no room for the {number}th")
        return t.detach()  # itself, if an output, would never be let go of

    return pack, calls


@program
def hooks_that_refuse_to_pack(look):
    net, found = blocks(2, dropout=0), []
    for number in range(1, 7):
        x = F.gelu(net[0](batch()))
        pack, calls = _fails_at(number)

        def part(x=x, pack=pack):
            with saved_tensors_hooks(pack, lambda t: t):
                return net[1](torch.tanh(x))

        found.append([error_of(part), list(calls)])
        loss = net[1](x).pow(2).mean()
        look()
        found.append(run_backward(loss, net))
    return found


@program
def hooks_that_refuse_to_unpack_once(look):
    net, fail = blocks(3, dropout=0), [True]

    def unpack(t):
        if fail[0]:
            fail[0] = False
            raise ValueError("not there yet")
        return t

    x = F.silu(net[0](batch()))
    with saved_tensors_hooks(torch.Tensor.detach, unpack):
        y = net[1](x)
    loss = net[2](F.gelu(y) * x).pow(2).mean()
    look()
    first = error_of(lambda: loss.backward(retain_graph=True))
    return [first, gradients(net), run_backward(loss, net)]


@program
def hooks_that_compute_with_gradients(look):
    net, other, busy = blocks(2), nn.Linear(WIDTH, WIDTH), []

    def pack(t):
        if not busy:
            busy.append(True)
            with torch.enable_grad():  # a whole step inside of a save
                inner = F.gelu(other(batch())).sum()
            inner.backward()
            busy.clear()
        return t.detach()

    x = net[0](batch())
    with saved_tensors_hooks(pack, lambda t: t.clone()):
        y = F.silu(x) * x
    loss = net[1](y).pow(2).mean()
    look()
    return run_backward(loss, net, other)


@program
def hooks_forbidden(look):
    net = blocks(2)
    with disable_saved_tensors_hooks("none here"):
        x = net[0](batch())

        def hooked():
            with saved_tensors_hooks(lambda t: t, lambda t: t):
                return net[1](x)

        found = [error_of(hooked)]
    loss = net[1](x).pow(2).mean()
    look()
    return found + [run_backward(loss, net)]


@program
def saved_tensors_that_may_be_written(look):
    net, other = blocks(2, dropout=0), nn.Linear(WIDTH, WIDTH)
    before = F.gelu(other(batch()))
    with allow_mutation_on_saved_tensors():
        x = other(batch()).sin()
        y = F.gelu(x) * before
        x.mul_(2)
        y2 = net[0](torch.tanh(y))
        y.zero_()
        before.add_(1)
        loss = (y2 * y2).sum() + x.sum()
        failed = error_of(loss.backward)
    found = [failed, gradients(net, other)]
    loss = net[1](F.gelu(other(batch()))).sum()
    look()
    return found + [run_backward(loss, net, other)]
