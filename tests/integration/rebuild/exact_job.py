"""Small models whose memory is counted by PyTorch's own allocator.

PyTorch's profiler is told of every block that the CPU allocator gives out and
takes back. What was given out since a step began and is still there at its
instant is what the step keeps: saved tensors, and the loss. The profiler knows
nothing of invact, and nothing of autograd. See probe.py.
"""

import torch
from torch import nn
from torch._C._profiler import _EventType
from torch.autograd.profiler import profile

import families
from digests import gradients
from probe import case, main, names

# What a Python number becomes in `x * 2.0` is a block of its own that
# autograd's hooks are never told of; it counts nowhere (docs/accounting.md).
NUMBER = 8


def _blocks(watched):
    """Sizes of the blocks given out while it watched and not taken back."""
    told, events = [], watched.kineto_results.experimental_event_tree()
    while events:
        event = events.pop()
        events.extend(event.children)
        if event.tag == _EventType.Allocation:
            told.append((event.start_time_ns, event.extra_fields))
    blocks = {}
    for _, block in sorted(told, key=lambda one: one[0]):
        if block.alloc_size > 0:
            blocks[block.ptr] = block.alloc_size
        else:
            blocks.pop(block.ptr, None)  # unknown: it was there before
    return list(blocks.values())


def kept(function):
    """What function returns, and the bytes that it leaves behind it."""
    with profile(profile_memory=True) as watched:
        result = function()
    return result, sum(b for b in _blocks(watched) if b != NUMBER)


def measure(probe, forward, *modules):
    """One step: beside the account, what is really kept at its instant."""
    loss, there = kept(lambda: probe.forward(forward, *modules))
    probe.instant(loss.backward)
    probe.steps[-1]["kept"] = there - loss.untyped_storage().nbytes()
    probe.note(**{f"step{len(probe.steps)}": gradients(*modules)})
    for module in modules:
        module.zero_grad(set_to_none=True)


def _add(name, run):
    run.__name__ = name
    case(run)


def _train(probe, model, batch, loss_of, autocast=False):
    def forward():
        # Copies, so that the batch is there only where a node keeps it.
        copies = {name: value.clone() for name, value in batch.items()}
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return loss_of(model(**copies))

    forward().backward()  # what the first step makes later ones find
    model.zero_grad(set_to_none=True)
    for _ in range(2):
        measure(probe, forward, model)


def _transformer(family, dtype=torch.float32, autocast=False):
    def run(probe):
        torch.set_num_threads(1)
        model, make = family()
        batch = {name: value.to(dtype) if value.is_floating_point() else value
                 for name, value in make().items()}
        _train(probe, model.to(dtype).train(), batch, lambda out: out.loss,
               autocast)
    return run


PRECISIONS = {"float32": {}, "bfloat16": {"dtype": torch.bfloat16},
              "autocast": {"autocast": True}}

for _family in (families.bert, families.gpt2, families.llama, families.vit):
    for _precision, _options in PRECISIONS.items():
        _add(f"{_family.__name__}_{_precision}",
             _transformer(_family, **_options))


class Dropouts(nn.Module):
    """With masks of one byte an element, as on a GPU."""

    def __init__(self, width=256, blocks=3):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Linear(width, width) for _ in range(blocks))

    def forward(self, x):
        for block in self.blocks:
            x = torch.native_dropout(block(x).relu(), 0.25, True)[0]
        return x


def _dropouts(dtype):
    def run(probe):
        torch.set_num_threads(1)
        # 77: bits that do not fill their last byte.
        _train(probe, Dropouts().to(dtype), {"x": torch.randn(
            77, 256).to(dtype)}, lambda y: y.sum())
    return run


_add("dropout_float32", _dropouts(torch.float32))
_add("dropout_bfloat16", _dropouts(torch.bfloat16))
_add("dropout_float16", _dropouts(torch.float16))

MODELS = names(__name__)


class Mlp(nn.Module):
    """Its activation is rebuilt from what the first layer made."""

    def __init__(self, width=256):
        super().__init__()
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)

    def hidden(self, x):
        return torch.tanh(self.up(x)) * torch.sigmoid(self.up(x))

    def forward(self, x):
        return self.down(self.hidden(x))


@case
def what_the_job_keeps_itself(probe):
    net = Mlp()
    batch = torch.randn(64, 256)
    for _ in range(3):
        own = []

        def forward():
            hidden = net.hidden(batch.clone())
            own.append(hidden)
            return net.down(hidden).sum()

        measure(probe, forward, net)


@case
def what_the_job_lets_go_of_in_the_forward(probe):
    net = Mlp()
    batch = torch.randn(64, 256)
    for _ in range(3):
        own = []

        def forward():
            own.append(net.hidden(batch.clone()))
            loss = net.down(own[0]).sum()
            own.clear()
            return loss

        measure(probe, forward, net)


@case
def a_view_that_the_job_keeps(probe):
    net = Mlp()
    batch = torch.randn(64, 256)
    for _ in range(3):
        own = []

        def forward():
            hidden = net.hidden(batch.clone())
            own.append(hidden[:1])  # keeps all of its storage
            return net.down(hidden).sum()

        measure(probe, forward, net)


@case
def equal_casts_are_held_once(probe):
    net = nn.ModuleList(nn.Linear(256, 256).bfloat16() for _ in range(3))
    norm = nn.LayerNorm(256)
    batch = torch.randn(64, 256)

    def forward():
        x = norm(batch.clone())
        return sum(layer(x.bfloat16()).float().pow(2).sum() for layer in net)

    for _ in range(3):
        measure(probe, forward, net, norm)


@case
def a_base_that_is_written(probe):
    net = Mlp()
    batch = torch.randn(64, 256).bfloat16()
    for _ in range(3):
        def forward():
            small = batch.clone()
            wide = small.float()  # rebuilt from half of its bytes
            loss = net.up(wide).sum()
            del wide
            probe.save_totals("before the write")
            small.zero_()  # PyTorch allows it: nothing saved it
            return loss

        measure(probe, forward, net)


@case
def a_base_that_is_resized(probe):
    net = Mlp()
    batch = torch.randn(64, 256).bfloat16()
    for _ in range(3):
        def forward():
            small = batch.clone()
            wide = small.float()
            loss = net.up(wide).sum()
            del wide
            small.untyped_storage().resize_(0)  # as sharded parameters are
            return loss

        measure(probe, forward, net)


@case
def a_hidden_write_into_what_is_rebuilt(probe):
    net = Mlp()
    batch = torch.randn(64, 256)
    for _ in range(3):
        def forward():
            hidden = net.hidden(batch.clone())
            loss = net.down(hidden).sum()
            hidden.data.add_(1)  # no version counter sees it
            return loss

        measure(probe, forward, net)


@case
def two_losses_share_what_is_rebuilt(probe):
    net, other = Mlp(), nn.Linear(256, 256)
    batch = torch.randn(64, 256)
    for _ in range(3):
        def both():
            hidden = net.hidden(batch.clone())
            first, second = net.down(hidden).sum(), other(hidden).sum()
            del hidden
            probe.instant(lambda: first.backward(retain_graph=True))
            for module in (net, other):
                module.zero_grad(set_to_none=True)
            del first
            return second

        measure(probe, both, net, other)


@case
def a_backward_of_a_backward(probe):
    net = Mlp()
    batch = torch.randn(64, 256)
    for _ in range(3):
        def penalty():
            x = batch.clone().requires_grad_()
            loss = net(x).pow(2).sum()
            gradient = []
            probe.instant(lambda: gradient.extend(torch.autograd.grad(
                loss, x, create_graph=True)))
            return gradient[0].pow(2).sum()

        measure(probe, penalty, net)


@case
def a_backward_of_a_backward_over_what_is_rebuilt(probe):
    net = Mlp()
    batch = torch.randn(64, 256)
    for _ in range(3):
        def penalty():
            x = batch.clone().requires_grad_()
            loss = torch.exp(torch.tanh(net.up(x)) * 0.5).pow(2).sum()
            gradient = []
            probe.instant(lambda: gradient.extend(torch.autograd.grad(
                loss, x, create_graph=True)))
            del loss
            return gradient[0].pow(2).sum()

        measure(probe, penalty, net)


def _penalty_over_equal_casts(probe, kept_by_the_job):
    layers = nn.ModuleList(nn.Linear(256, 256).bfloat16() for _ in range(3))
    norm = nn.LayerNorm(256)
    batch = torch.randn(64, 256)
    own = []

    def penalty():
        x = norm(batch.clone())
        casts = [x.bfloat16() for _ in layers]
        own.extend(casts[:kept_by_the_job])
        loss = sum(layer(cast).float().pow(2).sum()
                   for layer, cast in zip(layers, casts, strict=True))
        del x, casts
        made = []
        probe.instant(lambda: made.extend(torch.autograd.grad(
            loss, [layer.weight for layer in layers], create_graph=True)))
        own.clear()
        return sum(one.float().pow(2).sum() for one in made)

    for _ in range(3):
        measure(probe, penalty, layers, norm)


@case
def a_backward_of_a_backward_over_equal_casts(probe):
    _penalty_over_equal_casts(probe, 0)


@case
def a_backward_of_a_backward_over_a_cast_that_the_job_keeps(probe):
    _penalty_over_equal_casts(probe, 1)


@case
def a_second_backward_over_a_kept_graph(probe):
    net = Mlp()
    batch = torch.randn(64, 256)
    for _ in range(3):
        def once():
            loss = net(batch.clone()).sum()
            probe.instant(lambda: loss.backward(retain_graph=True))
            net.zero_grad(set_to_none=True)
            return loss

        measure(probe, once, net)


PROGRAMS = [name for name in names(__name__) if name not in MODELS]

if __name__ == "__main__":
    main()
