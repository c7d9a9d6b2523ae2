"""What the jobs of the activations' tests do with one activation."""

import torch

from probe import in_module, inverted


def gradient(name, function, x, dy=None):
    """dx, whether the output was held in place of the input, and y. The next
    op saves y, so that holding it gains something."""
    x = x.detach().requires_grad_()
    kept = []

    def forward(x):
        y = function(x * 1)  # a leaf's own storage would live anyway
        kept.append(inverted(y))
        return y

    y = in_module(name, forward)(x)
    saver = y * torch.ones_like(y).requires_grad_()
    (dx,) = torch.autograd.grad(
        saver, x, torch.ones_like(y) if dy is None else dy)
    return dx, kept[0], y.detach()


def true_slope(function, x):
    """f'(x) by PyTorch in float64, for which there are no kernels of ours."""
    x = x.double().requires_grad_()
    return torch.autograd.grad(function(x).sum(), x)[0]


def every_16_bit(dtype):
    return torch.arange(-32768, 32768, dtype=torch.int32).to(
        torch.int16).view(dtype)
