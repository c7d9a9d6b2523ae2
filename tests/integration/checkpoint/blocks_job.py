"""Models whose blocks the policy `checkpoint` takes. See probe.py.

Every case notes its losses and gradients bit for bit: they are those of the
plain job.
"""

import torch
from torch import nn

from models_job import _bert, _gpt2, _llama, _vit
from probe import case, main, names


def train(probe, model, forward, steps=3, rate=0.05):
    """Steps with an optimizer; notes every loss and gradient, every buffer."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    for step in range(steps):
        loss = probe.step(forward, model)
        probe.note(**{f"loss{step}": bits(loss)})
        probe.note(**{f"gradients{step}": [
            bits(p.grad) for p in model.parameters() if p.grad is not None]})
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    probe.note(buffers=[bits(b) for b in model.buffers()],
               random=bits(torch.rand(4)))


def bits(tensor):
    """A number that any changed bit changes."""
    raw = tensor.detach().contiguous().flatten().view(torch.uint8).long()
    weights = torch.arange(1, raw.numel() + 1)
    return int((raw * weights).sum()), int(raw.numel())


class Mlp(nn.Module):
    """A residual block with dropout."""

    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(
            4 * width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        return x + self.drop(self.down(nn.functional.gelu(self.up(x))))


class Stack(nn.Module):
    """Blocks in a ModuleList between two layers."""

    def __init__(self, blocks, width=32):
        super().__init__()
        self.first = nn.Linear(width, width)
        self.blocks = nn.ModuleList(blocks)
        self.last = nn.Linear(width, 1)

    def forward(self, x, *arguments, **options):
        x = self.first(x)
        for block in self.blocks:
            x = block(x, *arguments, **options)
        return self.last(x).mean()


def stack(probe, blocks, *arguments, steps=3, **options):
    model = Stack(blocks).train()
    x = torch.randn(8, 32)
    train(probe, model, lambda: model(x, *arguments, **options), steps=steps)
    return model


@case
def module_list(probe):
    stack(probe, [Mlp(32) for _ in range(3)])


@case
def module_list_autocast(probe):
    model = Stack([Mlp(32) for _ in range(3)]).train()
    x = torch.randn(8, 32)

    def forward():
        with torch.autocast("cpu", torch.bfloat16):
            return model(x)

    train(probe, model, forward)


@case
def frozen_first_layer(probe):
    model = Stack([Mlp(32) for _ in range(2)]).train()
    model.first.requires_grad_(False)
    x = torch.randn(8, 32)
    train(probe, model, lambda: model(x))


@case
def sequence_of_blocks(probe):
    model = nn.Sequential(Mlp(16), Mlp(16), nn.Linear(16, 1)).train()
    x = torch.randn(4, 16)
    train(probe, model, lambda: model(x).mean())


@case
def transformer_encoder(probe):
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1,
                                       batch_first=True)
    model = nn.TransformerEncoder(layer, 3).train()
    x = torch.randn(2, 6, 32)
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    train(probe, model, lambda: model(x, mask=mask, is_causal=True).mean())


def _transformer(build, dtype=torch.float32, autocast=False):
    def run(probe):
        make_model, options = build
        model, make = make_model(3, *options)
        model = model.to(dtype).train()
        batch = {k: v.to(dtype) if v.is_floating_point() else v
                 for k, v in make(2).items()}

        def forward():
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                return model(**batch).loss

        train(probe, model, forward)
    return run


def _case(name, run):
    run.__name__ = name
    run.__module__ = __name__
    case(run)


for _name, _build in (("bert", (_bert, (0.1,))), ("gpt2", (_gpt2, ())),
                      ("llama", (_llama, ())), ("vit", (_vit, ()))):
    _case(_name, _transformer(_build))
    _case(f"{_name}_bfloat16", _transformer(_build, torch.bfloat16))
    _case(f"{_name}_autocast", _transformer(_build, autocast=True))

CASES = names(__name__)

if __name__ == "__main__":
    main()
