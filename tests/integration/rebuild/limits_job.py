"""Writes that no op announces, and many steps. See probe.py."""

import ctypes
import os

import torch
from torch import nn

from digests import gradients
from probe import case, main, names
from program_parts import ROWS, WIDTH, batch, blocks

STEPS = 200


def _rebuilt_from_shared(probe, write):
    """A float32 batch rebuilt from memory of torch's that NumPy has as well."""
    torch.set_num_threads(1)
    net = nn.Linear(WIDTH, WIDTH)
    base = torch.linspace(-1, 1, ROWS * WIDTH).half().view(ROWS, WIDTH)
    memory = base.numpy()
    loss = net(base.float()).sum()
    probe.save_totals("kept")
    write(memory, base)
    loss.backward()
    probe.note(gradients=gradients(net))


@case
def written_by_numpy(probe):
    _rebuilt_from_shared(probe, lambda memory, base: memory.fill(3))


@case
def written_by_ctypes(probe):
    _rebuilt_from_shared(probe, lambda memory, base: ctypes.memset(
        base.data_ptr(), 0, base.nbytes))


@case
def written_by_an_op(probe):
    _rebuilt_from_shared(probe, lambda memory, base: base.fill_(3))


@case
def not_written(probe):
    _rebuilt_from_shared(probe, lambda memory, base: None)


def _resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@case
def two_hundred_steps(probe):
    torch.set_num_threads(1)
    net = blocks(3)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    resident, alive, kept = [], [], []
    for _ in range(STEPS):
        with torch.autocast("cpu", torch.bfloat16):
            loss = net(batch()).float().pow(2).mean()
        if probe.attached:
            kept.append(probe.totals()[5:])
        loss.backward()
        del loss
        optimizer.step()
        optimizer.zero_grad()
        resident.append(_resident())
        if probe.attached:
            alive.append(probe.totals()[5:])
    probe.note(gradients=[float(p.double().sum()) for p in net.parameters()])
    probe.fact(resident=resident, alive=alive, kept=kept)


HIDDEN = ("written_by_numpy", "written_by_ctypes")
SEEN = [name for name in names(__name__) if name not in HIDDEN]

if __name__ == "__main__":
    main()
