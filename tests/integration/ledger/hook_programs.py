"""Programs with hooks of their own on saved tensors. See programs_job.py."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from probe import case, error_of, gradients
from program_parts import mlp


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


class Blocks(nn.Module):
    def __init__(self, reentrant=None):
        super().__init__()
        self.blocks = nn.ModuleList(mlp() for _ in range(3))
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
def activation_checkpoint_of_selected_ops(probe):
    from functools import partial
    from torch.utils.checkpoint import (
        CheckpointPolicy, create_selective_checkpoint_contexts)

    def policy(ctx, op, *args, **kwargs):
        return (CheckpointPolicy.MUST_SAVE if op is torch.ops.aten.addmm.default
                else CheckpointPolicy.PREFER_RECOMPUTE)

    model, batch = mlp(), torch.randn(4, 16, requires_grad=True)
    y = checkpoint(model, batch, use_reentrant=False, context_fn=partial(
        create_selective_checkpoint_contexts, policy))
    y.pow(2).mean().backward()
    probe.note_near(gradients(model))


@case
def saved_on_cpu(probe):
    model, batch = mlp(), torch.randn(4, 16)
    for _ in range(2):
        with torch.autograd.graph.save_on_cpu():
            loss = model(batch).pow(2).mean()
        probe.save_totals("kept")
        loss.backward()
    probe.note_near(gradients(model))


@case
def hooks_that_pass_tensors_through(probe):
    model, batch = mlp(nn.Tanh), torch.randn(4, 16)
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
    model, batch = mlp(nn.Tanh), torch.randn(4, 16)
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

    model, batch = mlp(nn.Tanh), torch.randn(4, 16)
    with torch.autograd.graph.saved_tensors_hooks(pack, store.__getitem__):
        loss = model(batch).pow(2).mean()
    probe.save_totals("kept")
    loss.backward()
    probe.note(kept_in_store=len(store))
    probe.note_near(gradients(model))


@case
def hooks_switched_off(probe):
    model, batch = mlp(), torch.randn(4, 16)
    with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
        loss = model(batch).pow(2).mean()
        error = error_of(lambda: torch.autograd.graph.saved_tensors_hooks(
            lambda t: t, lambda t: t).__enter__())
    loss.backward()
    probe.note(error=error)
    probe.note_near(gradients(model))


@case
def copies_pickles_and_hooks(probe):
    model, batch = mlp(), torch.randn(4, 16)
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
