"""What the programs of programs_job.py are made of.

Every tensor of a batch has at least 16 KiB, also in 16 bits: from there on a
storage is rebuilt.
"""

import torch

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
