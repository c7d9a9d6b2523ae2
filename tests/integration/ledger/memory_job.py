"""Held bytes against what malloc says it gave out, and no growth over steps."""

import ctypes
import gc

import torch
from torch import nn
from torch.nn import functional as F

from probe import case, main, names


class _MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
        "uordblks", "fordblks", "keepcost")]


_libc = ctypes.CDLL("libc.so.6")
_libc.mallinfo2.restype = _MallInfo


def _given_out():
    gc.collect()
    info = _libc.mallinfo2()
    return info.uordblks + info.hblkhd


class Net(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.inner, self.outer = nn.Linear(256, 2048), nn.Linear(2048, 256)
        self.activation = activation

    def forward(self, x):
        for _ in range(3):
            x = x + self.outer(self.activation(self.inner(x)))
        return x


def _measure(probe, name, activation, dtype):
    net = type(name, (Net,), {})(activation).to(dtype)
    batch = torch.randn(1024, 256).to(dtype)
    for _ in range(3):
        before = _given_out()
        y = net(batch)
        # Saved too, but allocated before; y itself is not saved.
        own = y.untyped_storage().nbytes()
        after = _given_out()
        probe.save_totals(name)
        loss = y.sum()
        del y
        loss.backward()
        net.zero_grad()
        del loss
    probe.fact(**{name: [after - before, own, batch.untyped_storage()
                         .nbytes()]})


@case
def held_bytes_are_what_malloc_gave_out(probe):
    torch.set_num_threads(1)
    for dtype in (torch.float32, torch.bfloat16):
        _measure(probe, f"gelu_{dtype}".replace(".", "_"), F.gelu, dtype)
        _measure(probe, f"silu_{dtype}".replace(".", "_"), F.silu, dtype)


@case
def fifty_steps_do_not_grow(probe):
    net = type("Growth", (Net,), {})(F.gelu)
    batch = torch.randn(64, 256)

    def steps(count):
        for _ in range(count):
            net(batch).pow(2).mean().backward()
            net(batch)  # dropped without a backward
            y = F.gelu(net.inner(batch))
            y.mul_(2)
            net.outer(y).sum().backward()
            net.zero_grad()

    steps(10)
    before = _given_out()
    steps(50)
    probe.fact(growth=_given_out() - before)


CASES = names(__name__)

if __name__ == "__main__":
    main()
