"""What the programs of programs_job.py are made of.

Every tensor of a batch has at least 16 KiB, also in 16 bits: from there on a
storage is rebuilt.
"""

import torch
from torch import nn
from torch.nn import functional as F

from digests import digest, gradients
from probe import case, error_of

# Square, so that what is transposed in place still fits.
ROWS = WIDTH = 96


def batch(dtype=torch.float32):
    return torch.randn(ROWS, WIDTH).to(dtype)


def account(probe):
    """Asked for and held now; nothing in a plain process."""
    if not probe.attached:
        return None
    # A backward that fails leaves its other nodes to this thread's next one.
    torch.zeros((), requires_grad=True).sin().backward()
    totals = probe.totals()
    return [totals.live_baseline, totals.live_held]


def program(function):
    """A case of two rounds: `function(look)` gives what is noted.

    It calls look() where less than asked for must be held, if anywhere.
    """
    def run(probe):
        torch.set_num_threads(1)
        before, found = [], []
        for _ in range(2):
            torch.manual_seed(11)
            found.append(function(lambda: before.append(account(probe))))
        name = function.__name__
        probe.note(**{name: found})
        probe.fact(**{name: {"before": before if probe.attached else [],
                             "after": account(probe)}})

    run.__name__, run.__module__ = function.__name__, function.__module__
    case(run)
    return function


class Block(nn.Module):
    def __init__(self, dropout=0.1):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up, self.down = (nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return x + self.dropout(self.down(F.gelu(self.up(self.norm(x)))))


def blocks(count=2, dropout=0.1):
    return nn.Sequential(*(Block(dropout) for _ in range(count)))


def run_backward(loss, *modules):
    """The error of the backward, if any, and every gradient."""
    return [digest(loss), error_of(loss.backward), gradients(*modules)]
