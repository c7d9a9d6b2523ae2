"""Programs of modules, hooks and checkpoints. See programs_job.py."""

import copy

import torch
from torch import nn
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from digests import digest, gradients
from probe import error_of
from program_parts import (
    ROWS, WIDTH, Block, batch, blocks, program, run_backward)


def _recurrent(make):
    def run(look):
        net = make(WIDTH, WIDTH, num_layers=2, dropout=0.2, bidirectional=True)
        head = nn.Linear(2 * WIDTH, WIDTH)
        y, _ = net(torch.randn(12, ROWS, WIDTH))
        loss = head(F.silu(y)).pow(2).mean()
        del y
        look()
        return run_backward(loss, net, head)

    run.__name__ = f"recurrent_{make.__name__}".lower()
    program(run)


for _make in (nn.LSTM, nn.GRU, nn.RNN):
    _recurrent(_make)


@program
def transformer_layer(look):
    net = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, activation="gelu",
                                     batch_first=True)
    loss = net(torch.randn(4, 24, WIDTH)).pow(2).mean()
    look()
    return run_backward(loss, net)


class Norms(nn.Module):
    """A batch norm whose running statistics are large enough to be bases."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8192)
        self.head = nn.Linear(8192, 4)

    def forward(self, x):
        return self.head(self.norm(x)).pow(2).mean()


@program
def evaluated_then_trained_before_the_backward(look):
    net, x = Norms(), torch.randn(8, 8192, requires_grad=True)
    found = []
    for quiet in (False, True):
        net.eval()
        loss = net(x)
        look()
        net.train()
        if quiet:  # as a teacher's statistics are refreshed
            with torch.no_grad():
                net(x * 2)
        else:
            loss = loss + net(x * 2)
        found.append(run_backward(loss, net))
        found.append(digest(net.norm.running_mean))
    return found


@program
def convolutions_with_activations_in_place(look):
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
        nn.Conv2d(16, 16, 3), nn.GroupNorm(4, 16), nn.SiLU(inplace=True),
        nn.Conv2d(16, 8, 3), nn.Dropout(0.2, inplace=True), nn.Hardswish(),
        nn.Conv2d(8, 8, 3))
    x = torch.randn(4, 3, 24, 24)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        loss = net(x.to(memory_format=layout)).pow(2).mean()
        look()
        found.append(run_backward(loss, net))
    return found


@program
def parametrized_weights(look):
    net = nn.Sequential(
        parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH)), nn.GELU(),
        parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH)), nn.SiLU(),
        parametrizations.orthogonal(nn.Linear(WIDTH, WIDTH)))
    loss = net(batch()).pow(2).mean() + net(batch()).sin().sum()
    look()
    return run_backward(loss, net)


@program
def an_embedding_that_is_renormed_in_the_forward(look):
    table = nn.Embedding(ROWS, WIDTH, max_norm=0.5)
    head = nn.Linear(WIDTH, WIDTH)
    ids = torch.arange(ROWS)
    first = head(F.gelu(table(ids))).sum()
    look()
    table.weight.data.mul_(2)
    second = head(table(ids.flip(0))).sum()
    return run_backward(first + second, table, head)


@program
def one_block_used_three_times(look):
    block, x = Block(), batch()
    for _ in range(3):
        x = block(x)
    loss = x.pow(2).mean()
    look()
    return run_backward(loss, block)


@program
def optimizer_in_the_backward(look):
    net, found = blocks(3), []
    for p in net.parameters():
        optimizer = torch.optim.AdamW([p], lr=0.01)

        def step(parameter, optimizer=optimizer):
            optimizer.step()
            optimizer.zero_grad()

        p.register_post_accumulate_grad_hook(step)
    scale = net[0].up.weight
    for _ in range(3):
        x = net[1](batch() + scale.detach() * 2)
        loss = (net[0](x) + net[2](x)).pow(2).mean()
        look()
        found += [digest(loss), error_of(loss.backward)]
    return [found, [digest(p) for p in net.parameters()]]


@program
def averages_written_between(look):
    net = blocks()
    mean = copy.deepcopy(net)
    found = []
    for _ in range(2):
        loss = F.mse_loss(net(batch()), mean(batch()).detach())
        look()
        with torch.no_grad():
            torch._foreach_lerp_(list(mean.parameters()),
                                 list(net.parameters()), 0.5)
            for buffer in mean.buffers():
                buffer.zero_()
        found.append(run_backward(loss, net, mean))
    return found


@program
def scaled_clipped_and_accumulated(look):
    net = blocks()
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(2):
        for _ in range(3):
            with torch.autocast("cpu", torch.float16):
                loss = net(batch()).float().pow(2).mean() / 3
            look()
            scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=False)
    return [digest(p) for p in net.parameters()]


@program
def second_order_optimizer(look):
    net, x = blocks(dropout=0), batch()
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=3,
                                  line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = net(x).pow(2).mean()
        look()
        loss.backward()
        return loss

    return [digest(optimizer.step(closure).detach()),
            [digest(p) for p in net.parameters()]]


@program
def hooks_of_the_job_around_a_part(look):
    net, packed = blocks(3), []

    def pack(tensor):
        packed.append(digest(tensor))
        return tensor.detach().clone().numpy()

    x = net[0](batch())
    with saved_tensors_hooks(pack, torch.from_numpy):
        x = net[1](x)
    with save_on_cpu():
        x = net[2](x)
    loss = x.pow(2).mean()
    look()
    return [run_backward(loss, net), packed]


@program
def hooks_set_on_a_rebuilt_tensor(look):
    up, down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
    y = F.gelu(up(batch()))
    z = down(y)
    del y
    look()
    seen = []
    z.grad_fn._raw_saved_mat1.register_hooks(
        lambda t: seen.append(digest(t)) or t * 2, lambda t: t / 2)
    return [run_backward(z.sum(), up, down), seen]


@program
def module_hooks_that_change_tensors(look):
    net = blocks()
    net[0].norm.register_forward_hook(lambda m, i, o: o * 2)
    net[0].up.register_forward_hook(lambda m, i, o: o.mul_(0.5))
    net[1].register_forward_pre_hook(lambda m, i: (i[0] + 1,))
    net[1].down.register_full_backward_hook(
        lambda m, i, o: (i[0] * 0.5,))
    net[1].norm.register_full_backward_pre_hook(lambda m, o: (o[0] * 2,))
    loss = net(batch()).pow(2).mean()
    look()
    return run_backward(loss, net)


def _checkpointed(name, **options):
    def run(look):
        net = blocks(4, dropout=0.3)
        x = batch().requires_grad_()
        x = net[0](x)
        x = checkpoint(net[1], x, **options)
        x = checkpoint(lambda t: checkpoint(net[2], t, **options) * 2, x,
                       **options)
        loss = net[3](x).pow(2).mean()
        look()
        return [run_backward(loss, net), digest(torch.get_rng_state())]

    run.__name__ = f"checkpointed_{name}"
    program(run)


_checkpointed("reentrant", use_reentrant=True)
_checkpointed("non_reentrant", use_reentrant=False)
_checkpointed("without_random_state", use_reentrant=False,
              preserve_rng_state=False)
