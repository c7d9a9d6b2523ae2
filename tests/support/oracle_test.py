"""The oracle against sums done by hand."""

import torch
from torch import nn
from torch.nn import functional as F

from oracle import Oracle


def _saved(model, forward):
    oracle = Oracle(model)
    with oracle:
        loss = forward()
    saved = oracle.bytes()
    loss.backward()
    del loss
    assert oracle.saves() == 0, "backward must let go of everything"
    return saved


def test_counts_batch_activation_input_and_output_of_an_mlp():
    model = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8))
    batch = torch.randn(5, 8)

    # batch, GELU's input, GELU's output; sum() saves nothing.
    assert _saved(model, lambda: model(batch).sum()) == 4 * 5 * (8 + 32 + 32)


def test_counts_a_view_as_its_whole_storage_once():
    model = nn.Linear(4, 12, bias=False)
    batch = torch.randn(3, 4)

    def forward():
        a, b, _ = model(batch).chunk(3, dim=-1)
        return (a * b).sum()

    assert _saved(model, forward) == 4 * (3 * 4 + 3 * 12)


def test_counts_no_parameter_no_buffer_and_no_number():
    model = nn.Linear(4, 4)
    model.register_buffer("scale", torch.full((4,), 2.0))
    batch = torch.randn(3, 4)

    # linear saves the batch; the product saves the buffer; / 3 a number.
    assert _saved(
        model, lambda: (model(batch) * model.scale / 3).sum()) == 4 * 3 * 4


def test_counts_an_autocast_copy_of_a_weight():
    model = nn.Linear(16, 4, bias=False)
    batch = torch.randn(3, 16)

    def forward():
        with torch.autocast("cpu", torch.bfloat16):
            return model(batch).sum()

    # The bf16 batch. The weight's copy is saved where the batch needs a
    # gradient, which a leaf batch does not.
    assert _saved(model, forward) == 2 * 3 * 16

    hidden = nn.Sequential(nn.Linear(16, 16, bias=False), model)
    with_copy = _saved(hidden, lambda: _under_autocast(hidden, batch))
    assert with_copy == 2 * (3 * 16 + 3 * 16 + 4 * 16)


def _under_autocast(model, batch):
    with torch.autocast("cpu", torch.bfloat16):
        return model(batch).sum()


def test_forgets_a_graph_dropped_without_backward():
    model = nn.Linear(8, 8)
    oracle = Oracle(model)
    with oracle:
        F.gelu(model(torch.randn(2, 8)))
    assert oracle.saves() == 0
