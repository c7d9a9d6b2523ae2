"""What the cases of one rank are made of, and what it writes down of them.

Every tensor between layers has at least 16 KiB, also in 16 bits: from there on
a storage is rebuilt.
"""

import gc
import json
import pathlib
import sys
import traceback

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from digests import digest
from probe import Probe

BATCH, TOKENS, WIDTH = 8, 16, 64
RATE = 0.05
_CASES = {}


def names(module):
    """Of the cases that a module defines, in their order."""
    return [name for name, function in _CASES.items()
            if function.__module__ == module.__name__]


def case(function):
    _CASES[function.__name__] = function
    return function


class Block(nn.Module):
    """Attention apart, what the blocks of today's models are made of. A large
    parameter is the source of a cast and of a chain."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(BATCH, TOKENS, WIDTH))
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.RMSNorm(WIDTH)
        self.gate, self.up = (nn.Linear(WIDTH, 2 * WIDTH) for _ in range(2))
        self.down = nn.Linear(2 * WIDTH, WIDTH)
        self.wide, self.narrow = (nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        x = x * self.scale.double().sigmoid().to(x.dtype)
        y = self.norm1(x)
        x = x + self.dropout(self.down(F.silu(self.gate(y)) * self.up(y)))
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


class Net(nn.Module):
    def __init__(self, block=Block, count=3):
        super().__init__()
        self.enter = nn.Linear(WIDTH, WIDTH)
        self.blocks = nn.ModuleList(block() for _ in range(count))
        self.leave = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        x = torch.tanh(self.enter(x))
        for block in self.blocks:
            x = block(x)
        return self.leave(F.silu(x)).float().pow(2).mean()


def data():
    """Other numbers on each rank and at each call."""
    return torch.randn(BATCH, TOKENS, WIDTH) + dist.get_rank()


def _local(gradient):
    """A rank's own part of a sharded gradient."""
    to_local = getattr(gradient, "to_local", None)
    return gradient if to_local is None else to_local()


class Rank:
    """The process under test: `notes` are what all policies must agree on."""

    def __init__(self):
        self._probe = Probe()

    def begin(self):
        self.notes, self.norms, self.before = [], [], []
        torch.manual_seed(5 + dist.get_rank())

    def look(self):
        """Notes what is saved now."""
        if self._probe.attached:
            totals = self._probe.totals()
            self.before.append([totals.live_baseline, totals.live_held])

    def backward(self, model, loss):
        """Notes the loss, what is saved now, and every gradient."""
        self.look()
        loss.backward()
        self.note(digest(loss))
        self.gradients(model)

    def gradients(self, model):
        grads = {name: _local(p.grad) if p.grad is not None else None
                 for name, p in model.named_parameters()}
        self.note({name: digest(grad) for name, grad in grads.items()})
        self.norms.append({name: float(grad.double().abs().sum())
                           for name, grad in grads.items()
                           if grad is not None})

    def note(self, value):
        self.notes.append(value)

    def steps(self, model, count=2):
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        for _ in range(count):
            self.backward(model, model(data()))
            optimizer.step()
            optimizer.zero_grad()

    def end(self, error):
        gc.collect()
        alive = list(self._probe.totals()[5:7]) if self._probe.attached else []
        return {"notes": self.notes, "norms": self.norms,
                "before": self.before, "alive": alive, "error": error}


def main(groups):
    """One process group for all cases; results go to a folder."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, results = Rank(), {}
    folder, *chosen = sys.argv[1:]
    for name in [name for group in chosen for name in groups[group]]:
        rank.begin()
        error = None
        try:
            _CASES[name](rank)
        except Exception:  # the test shows it
            error = traceback.format_exc()
        results[name] = rank.end(error)
    path = pathlib.Path(folder, f"rank{dist.get_rank()}.json")
    path.write_text(json.dumps(results), encoding="utf-8")
    dist.barrier()
    # In order: otherwise torch now and then aborts at exit, by a thread that
    # nobody has joined.
    gc.collect()
    dist.destroy_process_group()
