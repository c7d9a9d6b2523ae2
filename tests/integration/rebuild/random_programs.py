"""Programs drawn at random, the same ones in every process.

Each is some thirty ops on a pool of tensors: cheap ones that are rebuilt, views,
writes of all kinds between them, tensors let go of, backwards on the way. All
that the program sees is noted. See programs_job.py.
"""

import random

import torch
from torch.nn import functional as F

from digests import digest
from probe import case, error_of, in_module
from program_parts import ROWS, WIDTH, account

PROGRAMS, STEPS = 240, 30

ONE = [
    F.gelu, F.silu, torch.tanh, torch.sigmoid, F.relu, torch.neg, torch.sin,
    F.hardswish, torch.abs, F.softplus, torch.clone, torch.erf,
    lambda t: t * 0.5, lambda t: t + 1, lambda t: t.pow(2), lambda t: 1 - t,
    lambda t: t / 3, lambda t: t.clamp(-1, 1), lambda t: F.leaky_relu(t, 0.1),
    lambda t: F.softmax(t, -1), lambda t: F.layer_norm(t, (WIDTH,)),
    lambda t: F.gelu(t, approximate="tanh"), lambda t: F.dropout(t, 0.25),
    lambda t: torch.native_dropout(t, 0.25, True)[0],
    lambda t: t.bfloat16(), lambda t: t.bfloat16(), lambda t: t.float(),
    lambda t: t.float(), lambda t: t.half(), lambda t: t.tril(),
    lambda t: t.t(), lambda t: t.view(-1).view(t.shape),
    lambda t: t.contiguous(), lambda t: t.detach(), lambda t: t.data,
]
TWO = [
    torch.add, torch.mul, torch.sub, torch.maximum,
    lambda a, b: torch.where(a > 0, a, b),
    lambda a, b: a.masked_fill(b > 0, 0.5),
    lambda a, b: (a.float() @ b.float()) * 0.1,
    lambda a, b: (a @ b.to(a.dtype)) * 0.1,
    lambda a, b: F.linear(a, b.to(a.dtype)),
    lambda a, b: torch.addcmul(a, a, b),
    lambda a, b: F.silu(a) * b,
]
WRITE = [
    lambda t, o: t.mul_(0.5), lambda t, o: t.add_(o), lambda t, o: t.relu_(),
    lambda t, o: t.copy_(o), lambda t, o: t[3:9].fill_(0.5),
    lambda t, o: t.view(-1)[7:].mul_(2), lambda t, o: t.t().add_(1),
    lambda t, o: t.masked_fill_(o > 0, 1), lambda t, o: t.detach().neg_(),
    lambda t, o: t.data.add_(1), lambda t, o: t.set_(o.detach().clone()),
    lambda t, o: torch._foreach_add_([t, t.detach()], 1.0),
    lambda t, o: torch.mul(o, 2, out=t), lambda t, o: F.dropout(
        t, 0.5, inplace=True), lambda t, o: t.untyped_storage().fill_(0),
    lambda t, o: setattr(t, "data", o.detach().clone()),
]


class Program:
    def __init__(self, seed):
        self.draw = random.Random(seed)
        torch.manual_seed(seed)
        self.parameters = [torch.nn.Parameter(torch.randn(ROWS, WIDTH))
                           for _ in range(3)]
        self.pool = [*self.parameters, torch.randn(ROWS, WIDTH),
                     torch.randn(ROWS, WIDTH).bfloat16()]
        self.fresh, self.seen = None, []

    def run(self, look):
        steps = [self.make] * 10 + [self.join] * 5 + [self.write] * 3 + [
            self.let_go] * 3 + [self.backward]
        for _ in range(STEPS):
            step = self.draw.choice(steps)
            if step != self.write:
                self.fresh = None
            self.seen.append([step.__name__, error_of(step)])
            look()
        self.end()
        return self.seen

    def pick(self):
        # Rather what was made last.
        return self.pool[-1 - min(int(self.draw.expovariate(0.3)),
                                  len(self.pool) - 1)]

    def add(self, made):
        if made.shape == (ROWS, WIDTH):
            known = any(made is t for t in self.pool)
            self.fresh = None if known else made
            self.pool.append(made)

    def make(self):
        self.add(self.draw.choice(ONE)(self.pick()))

    def join(self):
        self.add(self.draw.choice(TWO)(self.pick(), self.pick()))

    def write(self):
        write, target, other = (self.draw.choice(WRITE), self.pick(),
                                self.pick())
        # A write that autograd records may close a circle of references, but
        # for one on what nothing has used yet.
        recorded = self.fresh is not None and self.fresh._base is None and (
            self.draw.random() < 0.5)
        if recorded:
            target = self.fresh
        with torch.set_grad_enabled(recorded):
            write(target, other)

    def let_go(self):
        if len(self.pool) > 6:
            self.pool.pop(self.draw.randrange(3, len(self.pool)))

    def backward(self):
        self.pick().float().sin().sum().backward(retain_graph=True)

    def end(self):
        kept = [t for t in self.pool if t.requires_grad and not t.is_leaf]
        self.fresh = None
        self.pool.clear()
        while kept:
            loss = kept.pop().float().sin().sum()
            self.seen.append(error_of(
                lambda: loss.backward(retain_graph=bool(kept))))
            del loss
        self.seen.append([digest(p.grad) for p in self.parameters])
        self.seen.append([digest(p) for p in self.parameters])


def _add(first, last):
    def run(probe):
        torch.set_num_threads(1)
        for seed in range(first, last):
            totals = []

            def look():
                totals.append(account(probe))

            name = f"random_{seed}"
            net = in_module(name, lambda seed: Program(seed).run(look))
            probe.note(**{name: [net(seed) for _ in range(2)]})
            saved = [t for t in totals if t and t[1] < t[0]]
            probe.fact(**{name: {"before": saved[:1],
                                 "after": account(probe)}})

    run.__name__ = f"random_{first}_to_{last - 1}"
    case(run)


for _first in range(0, PROGRAMS, 40):
    _add(_first, _first + 40)
