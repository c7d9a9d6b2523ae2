"""Collectives that write, between a forward and its backward, to what is
rebuilt or serves to rebuild it. See rank.py.

Most count no write in autograd's version counter: in plain PyTorch a saved
tensor that is written so is read as it then is, and what was computed before
stays what it was. Those that copy from buffers of gloo's count one.
"""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import _functional_collectives as functional
from torch.nn import functional as F

from digests import digest
from probe import error_of
from rank import BATCH, TOKENS, WIDTH, case, data

ROWS = BATCH * TOKENS


def _other():
    return 1 - dist.get_rank()


def _like(tensor, k):
    return torch.full_like(tensor, k + dist.get_rank())


def _all_reduce_async(t):
    dist.all_reduce(t, async_op=True).wait()


def _receive(t):
    sent = dist.isend(_like(t, 3), _other())
    dist.recv(t, _other())
    sent.wait()


def _batched(t):
    for work in dist.batch_isend_irecv([
            dist.P2POp(dist.isend, _like(t, 3), _other()),
            dist.P2POp(dist.irecv, t, _other())]):
        work.wait()


def _scatter(t):
    parts = [_like(t, k) for k in (2, 5)] if dist.get_rank() == 0 else None
    dist.scatter(t, parts, src=0)


def _gather(t):
    halves = list(t.chunk(2)) if dist.get_rank() == 0 else None
    dist.gather(_like(t[:ROWS // 2], 4), halves, dst=0)


def _in_place_functional(t):
    group = dist.group.WORLD.group_name
    torch.ops._c10d_functional.wait_tensor(
        torch.ops._c10d_functional.all_reduce_(t, "sum", group))


# Each writes the tensor it is given, of ROWS rows, on both ranks, but for gather
# and broadcast: on one.
WRITES = {
    "nothing": lambda t: None,
    "all_reduce": dist.all_reduce,
    "all_reduce_async": _all_reduce_async,
    "all_reduce_of_a_view": lambda t: dist.all_reduce(t[1:]),
    "broadcast": lambda t: dist.broadcast(t, src=0),
    "all_gather": lambda t: dist.all_gather(
        list(t.chunk(2)), _like(t[:ROWS // 2], 2)),
    "all_gather_into_tensor": lambda t: dist.all_gather_into_tensor(
        t, _like(t[:ROWS // 2], 2)),
    "reduce_scatter_tensor": lambda t: dist.reduce_scatter_tensor(
        t, _like(torch.cat((t, t)), 2)),
    "all_to_all_single": lambda t: dist.all_to_all_single(t, _like(t, 2)),
    "scatter": _scatter,
    "gather": _gather,
    "receive": _receive,
    "batch_of_receives": _batched,
    "functional_in_place": _in_place_functional,
}


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = (nn.Linear(WIDTH, WIDTH) for _ in range(2))


def _rows(dtype=torch.float32):
    return data().view(ROWS, WIDTH).to(dtype)


def _base(net, write, rank):
    """What is rebuilt does not change with its base."""
    base = _rows(torch.bfloat16)
    loss = net.up(base.float()).sum()
    rank.look()
    write(base)
    return loss


def _rebuilt(net, write, rank):
    """What was saved is read as the collective left it."""
    y = F.silu(net.up(_rows()))
    loss = net.down(y).pow(2).sum()
    rank.look()
    write(y.detach())
    return loss


def _before_it_is_saved(net, write, rank):
    """An output that is not what its op made it any more."""
    kept = F.silu(net.up(_rows()))
    other = net.down(F.gelu(kept))
    y = F.silu(kept)
    write(y.detach())
    loss = net.down(y).pow(2).sum() + other.sum()
    rank.look()
    return loss


def _add(place, name, write):
    def run(rank):
        torch.manual_seed(7)  # the same of every write
        for _ in range(2):
            net = Layers()
            loss = place(net, write, rank)
            # Ranks stay in step where one of them is refused.
            rank.note([digest(loss), error_of(loss.backward)])
            rank.gradients(net)

    run.__name__ = f"{name}{place.__name__}"
    case(run)


for _name, _write in WRITES.items():
    for _place in (_base, _rebuilt, _before_it_is_saved):
        _add(_place, _name, _write)
