"""Nets whose saved tensors are rebuilt, and the places where one may write.

    loss, places = net()

`places` names tensors: what a tensor is rebuilt from (`base`, a second input,
a parameter), what is rebuilt (`output`), what is made on the way.
"""

import torch
from torch import nn
from torch.nn import functional as F

from program_parts import ROWS, WIDTH, batch


class Shape(nn.Module):
    """Two Linears, a batch, and what the shape does between."""

    def __init__(self):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.down = nn.Linear(WIDTH, WIDTH)
        self.batch = batch()


class CastOfABatch(Shape):
    def forward(self):
        base = self.batch.bfloat16()
        output = base.float()
        return self.up(output).sum(), {"base": base, "output": output}


class ChainFromABatch(Shape):
    def forward(self):
        base = self.batch.bfloat16()
        output = torch.exp(torch.tanh(base.float() * 0.5)).neg()
        return self.up(output).sum(), {"base": base, "output": output}


class CastOfAParameter(Shape):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH))

    def forward(self):
        output = self.weight.bfloat16()
        y = self.up(self.batch).bfloat16() @ output
        return y.float().sum(), {"base": self.weight, "output": output}


class ScaledParameter(Shape):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH))

    def forward(self):
        output = self.weight * 0.5
        return (self.up(self.batch) @ output).sum(), {
            "base": self.weight, "output": output}


class Gelu(Shape):
    def forward(self):
        base = self.up(self.batch)
        output = F.gelu(base)
        return self.down(output).sum(), {"base": base, "output": output}


class GeluWrittenOut(Shape):
    def forward(self):
        base = self.up(self.batch)
        middle = torch.tanh(0.797884 * (base + 0.044715 * base.pow(3)))
        output = 0.5 * base * (1 + middle)
        return self.down(output).sum(), {
            "base": base, "middle": middle, "output": output}


class GatedProduct(Shape):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(WIDTH, WIDTH)

    def forward(self):
        base, second = self.gate(self.batch), self.up(self.batch)
        middle = F.silu(base)
        output = middle * second
        return self.down(output).sum(), {
            "base": base, "second": second, "middle": middle,
            "output": output}


class LayerNorm(Shape):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self):
        base = self.up(self.batch)
        output = self.norm(base)
        return self.down(output).sum(), {
            "base": base, "parameter": self.norm.weight, "output": output}


class AddedParameter(Shape):
    """Nothing but the rebuilt sum needs the parameter."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.randn(ROWS, WIDTH))

    def forward(self):
        base = self.batch.clone()
        output = base + self.position
        loss = self.up(base).sum() + self.down(output).sum()
        return loss, {"base": base, "parameter": self.position,
                      "output": output}


class Dropout(Shape):
    def forward(self):
        base = self.up(self.batch).relu()
        output, mask = torch.native_dropout(base, 0.25, True)
        return self.down(output).sum(), {
            "base": base, "mask": mask, "output": output}


class MaskedFill(Shape):
    def forward(self):
        base = self.up(self.batch)
        mask = self.batch > 0.5
        kept = base.sin()
        output = base.masked_fill(mask, -1.0)
        return self.down(output).sum() + kept.sum(), {
            "base": base, "mask": mask, "output": output}


class Embedding(Shape):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(ROWS, WIDTH)
        self.ids = torch.arange(ROWS)

    def forward(self):
        ids = self.ids.clone()
        output = self.table(ids)
        return self.up(output).sum(), {
            "base": self.table.weight, "ids": ids, "output": output}


class Softmax(Shape):
    def forward(self):
        base = self.up(self.batch)
        kept = base.sin()
        output = F.softmax(base, -1)
        return self.down(output).pow(2).sum() + kept.sum(), {
            "base": base, "output": output}


class EqualCasts(Shape):
    """Autocast's copies of one source: only one of them is held."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.heads = nn.ModuleList(
            nn.Linear(WIDTH, WIDTH).bfloat16() for _ in range(3))

    def forward(self):
        base = self.norm(self.up(self.batch))
        casts = [base.bfloat16() for _ in self.heads]
        loss = sum(head(cast).float().sum()
                   for head, cast in zip(self.heads, casts, strict=True))
        return loss, {"base": base, "first": casts[0], "second": casts[1]}


SHAPES = {
    CastOfABatch: ("base", "output"),
    ChainFromABatch: ("base", "output"),
    CastOfAParameter: ("base", "output"),
    ScaledParameter: ("base", "output"),
    Gelu: ("base", "output"),
    GeluWrittenOut: ("base", "middle", "output"),
    GatedProduct: ("base", "second", "middle", "output"),
    LayerNorm: ("base", "parameter", "output"),
    AddedParameter: ("base", "parameter", "output"),
    Dropout: ("base", "mask", "output"),
    MaskedFill: ("base", "mask", "output"),
    Embedding: ("base", "ids", "output"),
    Softmax: ("base", "output"),
    EqualCasts: ("base", "first", "second"),
}
# Here also with every tensor still in the program's hands.
ALL_KEPT = (CastOfABatch, ScaledParameter, Gelu, EqualCasts)
