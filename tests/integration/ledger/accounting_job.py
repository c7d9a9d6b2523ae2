"""Small models whose saved bytes are easy to get wrong. See probe.py."""

import torch
from torch import nn
from torch.nn import functional as F

from probe import case, main, names


def _mlp(width=32, hidden=128, activation=nn.GELU, **options):
    return nn.Sequential(nn.Linear(width, hidden, **options), activation(),
                         nn.Linear(hidden, width, **options))


def _three_steps(probe, forward, *modules):
    for _ in range(3):
        probe.step(forward, *modules)


@case
def mlp_float32(probe):
    model, batch = _mlp(), torch.randn(24, 32)
    _three_steps(probe, lambda: model(batch).pow(2).mean(), model)


@case
def mlp_bfloat16(probe):
    model, batch = _mlp().bfloat16(), torch.randn(24, 32).bfloat16()
    _three_steps(probe, lambda: model(batch).float().pow(2).mean(), model)


@case
def mlp_float64_is_left_alone(probe):
    model, batch = _mlp().double(), torch.randn(24, 32).double()
    _three_steps(probe, lambda: model(batch).pow(2).mean(), model)


@case
def mlp_autocast(probe):
    model, batch = _mlp(), torch.randn(24, 32)

    def forward():
        with torch.autocast("cpu", torch.bfloat16):
            return model(batch).float().pow(2).mean()

    _three_steps(probe, forward, model)


class Gated(nn.Module):
    def __init__(self, width=32, inner=96, fused=False):
        super().__init__()
        self.fused = fused
        self.gate_up = nn.Linear(width, 2 * inner, bias=False)
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        gate, up = self.gate_up(x).chunk(2, dim=-1) if self.fused else (
            self.gate(x), self.up(x))
        return self.down(F.silu(gate) * up)


@case
def swiglu(probe):
    model, batch = Gated(), torch.randn(24, 32)
    _three_steps(probe, lambda: model(batch).pow(2).mean(), model)


@case
def swiglu_of_a_chunked_projection(probe):
    model, batch = Gated(fused=True), torch.randn(24, 32)
    _three_steps(probe, lambda: model(batch).pow(2).mean(), model)


@case
def frozen_next_linear(probe):
    model, batch = _mlp(), torch.randn(24, 32)
    model[2].requires_grad_(False)
    _three_steps(probe, lambda: model(batch).sum(), model)


@case
def frozen_first_linear(probe):
    model, batch = _mlp(), torch.randn(24, 32)
    model[0].requires_grad_(False)
    _three_steps(probe, lambda: model(batch).pow(2).sum(), model)


@case
def frozen_weights_under_autocast(probe):
    model, batch = _mlp(), torch.randn(24, 32)
    adapter = nn.Linear(32, 32)
    model.requires_grad_(False)

    def forward():
        with torch.autocast("cpu", torch.bfloat16):
            return model(adapter(batch)).float().sum()

    _three_steps(probe, forward, model, adapter)


@case
def tied_weights(probe):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(50, 16)
            self.middle = nn.Linear(16, 16)
            self.head = nn.Linear(16, 50, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens):
            return self.head(F.gelu(self.middle(self.embed(tokens))))

    model, tokens = Tied(), torch.randint(0, 50, (4, 12))
    _three_steps(probe, lambda: F.cross_entropy(
        model(tokens).flatten(0, 1), tokens.flatten()), model)


@case
def views_and_shared_storages(probe):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(32, 96)
            self.out = nn.Linear(32, 32)

        def forward(self, x):
            q, k, v = self.qkv(x).view(4, 6, 3, 32).unbind(2)
            weights = (q @ k.transpose(1, 2)).softmax(-1)
            y = weights @ v
            return self.out(y) * y[:, :1].expand_as(y)

    model, batch = Mixed(), torch.randn(4, 6, 32)
    _three_steps(probe, lambda: model(batch).pow(2).mean(), model)


@case
def parameters_buffers_and_views_of_them(probe):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(16, 16))
            self.frozen = nn.Parameter(torch.randn(16, 16),
                                       requires_grad=False)
            self.register_buffer("scale", torch.randn(16, 16))
            self.norm = nn.BatchNorm1d(16)

        def forward(self, x):
            x = self.norm(x @ self.weight[:, :8].t().repeat(2, 1).t())
            x = x * self.scale[0] + x * self.frozen[1:2]
            return x @ self.weight.t() @ self.frozen.t()

    model, batch = Odd(), torch.randn(12, 16)
    _three_steps(probe, lambda: model(batch).pow(2).mean(), model)


@case
def bare_parameters_outside_modules(probe):
    weight = nn.Parameter(torch.randn(16, 16))
    other = nn.Parameter(torch.randn(16, 16))
    batch = torch.randn(8, 16)
    _three_steps(probe, lambda: (F.silu(batch @ weight) @ other.t()).sum())


@case
def inputs_that_require_a_gradient_count(probe):
    model = _mlp()
    batch = torch.randn(24, 32, requires_grad=True)
    _three_steps(probe, lambda: model(batch).sum(), model)


@case
def embeddings_made_to_require_a_gradient_count(probe):
    # What adapters do: the frozen embedding's output is told to need one.
    model = _mlp()
    embed = nn.Embedding(11, 32).requires_grad_(False)
    tokens = torch.randint(0, 11, (3, 5))

    def forward():
        hidden = embed(tokens).requires_grad_(True)
        return model(hidden * 1.5 + hidden.sin()).sum()

    _three_steps(probe, forward, model, embed)


@case
def losses_masks_and_indices(probe):
    model = nn.Sequential(nn.Embedding(30, 16), nn.Dropout(0.3),
                          nn.Linear(16, 16), nn.ReLU(), nn.LayerNorm(16),
                          nn.Linear(16, 30))
    tokens = torch.randint(0, 30, (4, 9))
    weight = torch.rand(30)
    indices = torch.randperm(36)[:20]

    def forward():
        logits = model(tokens).flatten(0, 1)
        picked = logits[indices]
        return F.cross_entropy(picked, tokens.flatten()[indices],
                               weight=weight) + F.binary_cross_entropy(
            torch.sigmoid(logits), torch.ones_like(logits), weight=weight)

    _three_steps(probe, forward, model)


@case
def numbers_and_scalars(probe):
    model, batch = _mlp(), torch.randn(24, 32)
    temperature = torch.tensor(2.0)

    def forward():
        y = model(batch)
        return (y / 3 * 2.5 * temperature + y.pow(2) / temperature).mean()

    _three_steps(probe, forward, model)


@case
def convolutions_in_channels_last(probe):
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.SiLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * 16, 4)).to(
        memory_format=torch.channels_last)
    images = torch.randn(2, 3, 8, 8).contiguous(
        memory_format=torch.channels_last)
    _three_steps(probe, lambda: model(images).pow(2).mean(), model)


@case
def recurrent_layers(probe):
    model = nn.LSTM(8, 16, num_layers=2, batch_first=True)
    gru, batch = nn.GRU(16, 8, batch_first=True), torch.randn(3, 7, 8)
    _three_steps(probe, lambda: gru(model(batch)[0])[0].pow(2).mean(), model,
                 gru)


@case
def encoder_with_dropout_after_the_activation(probe):
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1,
                                       activation="gelu", batch_first=True)
    model, batch = nn.TransformerEncoder(layer, 2), torch.randn(3, 5, 16)
    _three_steps(probe, lambda: model(batch).pow(2).mean(), model)


@case
def complex_numbers(probe):
    model, batch = nn.Linear(16, 16), torch.randn(4, 16)

    def forward():
        spectrum = torch.fft.rfft(F.gelu(model(batch)))
        return (spectrum * spectrum.conj()).real.sum() + spectrum.abs().sum()

    _three_steps(probe, forward, model)


@case
def sparse_operands_do_not_count(probe):
    model, batch = nn.Linear(16, 16), torch.randn(4, 16)
    adjacency = torch.eye(4).to_sparse()
    _three_steps(probe, lambda: torch.sparse.mm(
        adjacency, F.silu(model(batch))).pow(2).sum(), model)


@case
def nested_tensors_do_not_count(probe):
    model = nn.Linear(8, 8)

    def forward():
        parts = [torch.randn(3, 8), torch.randn(5, 8)]
        return sum(model(part).pow(2).sum() for part in parts)

    _three_steps(probe, forward, model)


@case
def one_storage_under_many_dtypes(probe):
    model, batch = nn.Linear(16, 16), torch.randn(4, 16)

    def forward():
        y = model(batch)
        pairs = torch.view_as_complex(y.view(4, 8, 2))
        return (pairs.abs() * pairs.real).sum() + (y * y).sum()

    _three_steps(probe, forward, model)


@case
def calls_of_one_module_add_up(probe):
    model, batch = _mlp(), torch.randn(6, 32)
    _three_steps(
        probe, lambda: model(model(model(batch))).pow(2).mean(), model)


@case
def several_forwards_one_backward(probe):
    model = _mlp()
    for _ in range(2):
        losses = [probe.forward(
            lambda rows=rows: model(torch.randn(rows, 32)).pow(2).mean(),
            model) for rows in (4, 8, 16)]
        probe.instant(sum(losses).backward)


@case
def gradient_accumulation(probe):
    model = _mlp()
    for rows in (4, 8, 16, 4):
        batch = torch.randn(rows, 32)
        probe.step(lambda: model(batch).pow(2).mean(), model)


@case
def retained_graph(probe):
    model, batch = _mlp(), torch.randn(24, 32)
    loss = probe.forward(lambda: model(batch).pow(2).mean(), model)
    probe.instant(lambda: loss.backward(retain_graph=True))
    probe.instant(lambda: loss.backward(retain_graph=True))
    probe.instant(loss.backward)


@case
def graph_dropped_without_backward(probe):
    model, batch = _mlp(), torch.randn(24, 32)
    for _ in range(2):
        kept = probe.forward(lambda: model(batch).sum(), model)
        del kept
        probe.step(lambda: model(batch[:8]).sum(), model)


@case
def evaluation_between_steps(probe):
    model, batch = _mlp(), torch.randn(24, 32)
    for _ in range(2):
        with torch.no_grad():
            probe.forward(lambda: model(batch), model)
        with torch.inference_mode():
            probe.forward(lambda: model(batch), model)
        probe.step(lambda: model(batch).sum(), model)


@case
def fifty_steps_leave_nothing(probe):
    model, batch = _mlp(), torch.randn(24, 32)
    for _ in range(50):
        probe.step(lambda: model(batch).pow(2).mean(), model)


CASES = names(__name__)

if __name__ == "__main__":
    main()
