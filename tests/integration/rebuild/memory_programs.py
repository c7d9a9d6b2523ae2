"""Programs over memory that is not PyTorch's own, or that has two storages.
See programs_job.py.

A loader that fills one buffer again and again is legal where what was computed
from it is saved: it must not be a base.
"""

import numpy
import torch
from torch import nn
from torch.nn import functional as F

from digests import digest
from probe import in_module
from program_parts import ROWS, WIDTH, batch, blocks, program, run_backward


def _filled(buffer, value):
    buffer[:] = value


def _numpy():
    buffer = numpy.linspace(-2, 2, ROWS * WIDTH, dtype=numpy.float16)
    return torch.from_numpy(buffer), lambda: _filled(buffer, 0.5)


def _bytes():
    buffer = bytearray(numpy.linspace(
        -2, 2, ROWS * WIDTH, dtype=numpy.float16).tobytes())
    return (torch.frombuffer(buffer, dtype=torch.float16),
            lambda: _filled(memoryview(buffer), bytes([60]) * len(buffer)))


def _capsule():
    buffer = numpy.linspace(-2, 2, ROWS * WIDTH, dtype=numpy.float16)
    return torch.from_dlpack(buffer), lambda: _filled(buffer, 0.5)


def _refilled(name, make):
    def run(look):
        net, head = blocks(), nn.Linear(WIDTH, WIDTH)
        memory, fill = make()
        x = memory.view(ROWS, WIDTH)
        # One cast is all that is saved of it; of the other it is saved, too.
        loss = in_module(name, lambda t: head(t.float()) + net(
            torch.tanh(t.double()).float()))(x).pow(2).mean()
        loss = loss + (x.half() * head.weight.half().sum()).float().sum()
        look()
        fill()
        return [run_backward(loss, net, head), digest(x)]

    run.__name__ = f"a_buffer_filled_again_{name}"
    program(run)


for _name, _make in (("of_numpy", _numpy), ("of_bytes", _bytes),
                     ("of_a_capsule", _capsule)):
    _refilled(_name, _make)


ALIASES = {
    "by_numpy": lambda t: torch.from_numpy(t.numpy()),
    "by_a_capsule": lambda t: torch.from_dlpack(t.detach()),
    "of_a_part": lambda t: torch.from_dlpack(t.detach()[1:5]),
}


def _aliased(name, alias, base):
    def run(look):
        head = nn.Linear(WIDTH, WIDTH)
        x = batch(torch.float16)
        y = F.silu(head(batch()))
        other = alias((x if base else y).detach())
        loss = in_module(name, lambda t, u: head(t.float()).sum() + head(
            u).pow(2).sum())(x, y)
        if not base:
            del y
        look()
        other.add_(1)
        return [run_backward(loss, head), digest(x)]

    run.__name__ = f"two_storages_{name}_of_{'a_base' if base else 'a_result'}"
    program(run)


for _name, _alias in ALIASES.items():
    for _base in (True, False):
        _aliased(_name, _alias, _base)


@program
def parameters_over_memory_of_others(look):
    net, weights = blocks(), {}
    for name, parameter in net.named_parameters():
        weights[name] = parameter.detach().clone().numpy()
    net.load_state_dict({name: torch.from_numpy(array)
                         for name, array in weights.items()}, assign=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = net(batch()).float().pow(2).mean()
    look()
    return run_backward(loss, net)
