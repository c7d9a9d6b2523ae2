"""GELU and SiLU in every dtype, shape and layout. See probe.py.

The next op of each program saves the activation's output, so that holding it
gains something; `served` says whether the output was held in place of the
input.
"""

import functools

import torch
from torch.nn import functional as F

from activation_parts import every_16_bit, gradient, true_slope
from probe import case, in_module, inverted, main, names

ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
}


def _errors(name, function, dtype):
    generator = torch.Generator().manual_seed(7)
    normal = torch.randn(400_000, generator=generator).to(dtype)
    dx, served, _ = gradient(name, function, normal)
    error = (dx.double() - true_slope(function, normal)).abs()
    if dtype == torch.float32:
        grid = torch.cat([torch.linspace(-20, 20, 400_001),
                          torch.linspace(-1.6, -0.4, 400_001)])
    else:
        grid = every_16_bit(dtype)
        grid = grid[torch.isfinite(grid)]
    dense, _, _ = gradient(name + "_grid", function, grid)
    worst = (dense.double() - true_slope(function, grid)).abs()
    return {"served": served, "rms": float(error.pow(2).mean().sqrt()),
            "max": float(worst.max()),
            "nan": int(torch.isnan(dense).sum())}


def _accuracy(activation, dtype):
    def run(probe):
        probe.fact(**_errors(run.__name__, ACTIVATIONS[activation],
                             getattr(torch, dtype)))
    run.__name__ = f"accuracy_of_{activation}_{dtype}"
    return run


for _activation in ACTIVATIONS:
    for _dtype in ("float32", "bfloat16", "float16"):
        case(_accuracy(_activation, _dtype))


@case
def forward_values_are_pytorchs_own(probe):
    for name, function in ACTIVATIONS.items():
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            x = (torch.linspace(-8, 8, 1003).to(dtype)
                 if dtype == torch.float32 else every_16_bit(dtype))
            y = gradient(f"forward_{name}_{dtype}", function, x)[2]
            y = torch.nan_to_num(y.double(), nan=1e9)
            probe.note(**{f"{name}_{dtype}": [
                float(y.sum()), float((y * torch.arange(y.numel())).sum())]})


SPECIAL = [float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e-42, -1e-42,
           1e38, -1e38, 88.0, -88.0, 1e-5, -1e-5]


@case
def nan_and_infinity_as_in_eager(probe):
    for name, function in ACTIVATIONS.items():
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            x = torch.tensor(SPECIAL, dtype=dtype)
            dx, _, y = gradient(f"special_{name}_{dtype}", function, x)
            probe.note(**{f"{name}_{dtype}": torch.isnan(y).tolist()})
            probe.note_near(torch.isnan(dx).tolist())


# What the activation is given, made of a fresh copy of a leaf.
LAYOUTS = {
    "one": ((1,), lambda t: t),
    "seven": ((7,), lambda t: t),
    "eight": ((8,), lambda t: t),
    "odd": ((3, 5, 7), lambda t: t),
    "large": ((70_001,), lambda t: t),
    "channels_last": ((6, 10, 7, 9), lambda t: t.contiguous(
        memory_format=torch.channels_last)),
    "transposed": ((12, 33), lambda t: t.t()),
    "permuted": ((3, 4, 5), lambda t: t.permute(2, 0, 1)),
    "scalar": ((), lambda t: t),
    "of_ones": ((1, 1, 5, 1), lambda t: t),
    "sliced": ((8, 20), lambda t: t[:, 3:15]),
    "strided": ((40,), lambda t: t[::2]),
    "expanded": ((5, 1), lambda t: t.expand(5, 6)),
    "empty": ((0, 4), lambda t: t),
    "offset": ((33,), lambda t: t[1:]),
    "float64": ((17,), lambda t: t.double()),
}


@case
def every_shape_and_layout(probe):
    for layout, (shape, make) in LAYOUTS.items():
        for name, function in ACTIVATIONS.items():
            leaf = torch.randn(shape).requires_grad_()
            served = []

            def forward(t):
                y = function(make(t * 1))
                served.append(inverted(y))
                return y

            y = in_module(f"{layout}_{name}", forward)(leaf)
            generator = torch.Generator().manual_seed(3)
            dy = torch.randn(y.shape, generator=generator).to(y.dtype)
            scale = torch.ones_like(y).requires_grad_()
            (dx,) = torch.autograd.grad(y * scale, leaf, dy)
            probe.note(**{f"{layout}_{name}": [
                y.shape, y.stride(), dx.shape, dx.dtype]})
            probe.note_near([float(dx.double().abs().sum()),
                             float(y.detach().double().sum())])
            probe.fact(**{f"{layout}_{name}": served[0]})


@case
def gradients_of_other_layouts_and_dtypes_arrive(probe):
    """dy expanded, transposed, sparse in memory: aligned before the kernel."""
    for name, function in ACTIVATIONS.items():
        x = torch.randn(6, 8)
        for kind, dy in {
                "expanded": torch.tensor(1.5).expand(6, 8),
                "transposed": torch.linspace(0, 1, 48).view(8, 6).t(),
                "sliced": torch.linspace(0, 1, 192).view(6, 32)[:, ::4],
        }.items():
            dx, _, _ = gradient(f"dy_{kind}_{name}", function, x, dy)
            probe.note_near([float((dx * torch.arange(8)).sum())])


@case
def second_derivatives(probe):
    for name, function in ACTIVATIONS.items():
        x = torch.cat([torch.linspace(-6, 6, 241),
                       torch.linspace(-1.4, -0.6, 81)]).requires_grad_()

        def forward(t):
            return function(t * 1)

        y = in_module(f"second_{name}", forward)(x)
        weight = torch.linspace(0.5, 1.5, y.numel()).requires_grad_()
        (first,) = torch.autograd.grad((y * weight).sum(), x,
                                       create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x, retain_graph=True)
        (mixed,) = torch.autograd.grad(first.pow(2).sum(), weight)
        xd = x.detach().double().requires_grad_()
        wd = weight.detach().double().requires_grad_()
        (true_first,) = torch.autograd.grad((function(xd) * wd).sum(), xd,
                                            create_graph=True)
        (true_second,) = torch.autograd.grad(true_first.sum(), xd,
                                             retain_graph=True)
        (true_mixed,) = torch.autograd.grad(true_first.pow(2).sum(), wd)
        probe.fact(**{name: [
            float((first - true_first).abs().max()),
            float((second - true_second).abs().max()),
            float((mixed - true_mixed).abs().max())]})


CASES = names(__name__)

if __name__ == "__main__":
    main()
