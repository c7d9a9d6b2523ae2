"""One model with an activation for every reason to leave it alone."""

import sys

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint


class Quiet(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.act = nn.Linear(8, 32), nn.GELU()
        self.outer = nn.Linear(32, 8)

    def forward(self, x):
        return self.outer(self.act(self.inner(x)))


class Frozen(Block):
    def __init__(self):
        super().__init__()
        self.outer.requires_grad_(False)


class KeptElsewhere(Block):
    def forward(self, x):
        x = self.inner(x)
        return self.outer(self.act(x)) + self.outer(x.sin())


class Chunked(Block):
    def __init__(self):
        super().__init__()
        self.inner, self.act = nn.Linear(8, 64), nn.SiLU()

    def forward(self, x):
        gate, up = self.inner(x).chunk(2, dim=-1)
        return self.outer(self.act(gate) * up)


class Expanded(Block):
    def forward(self, x):
        x = self.inner(x)[:, :1].clone().expand(-1, 32)
        return self.outer(self.act(x))


class Double(Block):
    def forward(self, x):
        return super().forward(x.double()).float()


class Prelu(Block):
    def __init__(self):
        super().__init__()
        self.act = nn.PReLU()


class WrittenInPlace(Block):
    def forward(self, x):
        return self.outer(self.act(self.inner(x)).mul_(2))


class DispatchMode(Block):
    def forward(self, x):
        with Quiet():
            return super().forward(x)


class Hooked(Block):
    def forward(self, x):
        with torch.autograd.graph.save_on_cpu():
            return super().forward(x)


class Checkpointed(Block):
    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=False)


class Penalised(Block):
    def forward(self, x):
        y = super().forward(x)
        (g,) = torch.autograd.grad(y.sum(), self.inner.weight,
                                   create_graph=True)
        return y + g.pow(2).sum()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.served, self.excluded = Block(), Block()
        self.frozen, self.kept_elsewhere = Frozen(), KeptElsewhere()
        self.chunked, self.expanded = Chunked(), Expanded()
        self.double, self.written = Double().double(), WrittenInPlace()
        self.mode, self.hooked = DispatchMode(), Hooked()
        self.checkpointed, self.prelu = Checkpointed(), Prelu()

    def forward(self, x):
        # The outermost module saves something itself.
        return sum(child(x).sum() for child in self.children()).sin()


def main():
    torch.manual_seed(0)
    model, batch = Model(), torch.randn(4, 8)
    if "--compiled" in sys.argv:
        # A backward within the forward ends a step: a job of its own.
        part = torch.compile(Block(), backend="aot_eager")
        penalised = Penalised()
        loss = lambda: part(batch).sum() + penalised(batch).sum()
    else:
        loss = lambda: model(batch).pow(2)
    for _ in range(3):
        loss().backward()


if __name__ == "__main__":
    main()
