"""INVACT_BITS=mantissa over every value of the 16-bit dtypes and a grid of
float32. See probe.py; results of tensors' size go to the file of --out."""

import os
import pathlib

import torch
from torch.nn import functional as F

from activation_parts import every_16_bit, gradient
from probe import case, in_module, main, names

FUNCTIONS = {
    "gelu": (F.gelu, -0.75179152469356446),
    "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"),
                  -0.75246142207101625),
    "silu": (F.silu, -1.27846454276107380),
    "mish": (F.mish, -1.19243121451549521),
    "hardswish": (F.hardswish, -1.5),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16,
          "float16": torch.float16}


def values(dtype):
    if dtype.itemsize == 2:
        x = every_16_bit(dtype)
        return x[torch.isfinite(x)]
    near = torch.cat([torch.linspace(minimum - 1e-3, minimum + 1e-3, 20_001)
                      for _, minimum in FUNCTIONS.values()])
    return torch.cat([torch.linspace(-14, 14, 400_001), near])


@case
def outputs_and_gradients(probe):
    kept = {}
    for name, (function, _) in FUNCTIONS.items():
        for label, dtype in DTYPES.items():
            dx, served, y = gradient(f"{name}_{label}", function,
                                     values(dtype))
            probe.fact(**{f"{name}_{label}": served})
            kept[f"{name}_{label}"] = (y, dx)
    torch.save(kept, pathlib.Path(os.environ["MANTISSA_OUT"]) / (
        "seen.pt" if os.environ.get("INVACT_BITS") else "plain.pt"))


@case
def what_is_not_finite(probe):
    """Outputs and gradients of -inf, inf and NaN, among others."""
    for name, (function, _) in FUNCTIONS.items():
        for label, dtype in DTYPES.items():
            x = torch.tensor([float("-inf"), -1.0, float("inf"), float("nan"),
                              1.0, -float("nan"), float("-inf")], dtype=dtype)
            dx, served, y = gradient(f"odd_{name}_{label}", function, x)
            probe.fact(**{f"{name}_{label}": served})
            probe.note(**{f"{name}_{label}": [
                [None if v != v else v for v in tensor.double().tolist()]
                for tensor in (y, dx)]})


@case
def an_output_that_nothing_else_keeps(probe):
    """Holding y in place of x gains nothing: the bytes stay what they are."""
    x = torch.linspace(-4, 4, 1000)
    for _ in range(2):
        leaf = x.clone().requires_grad_()
        weight = torch.ones(1000, dtype=torch.float64)
        probe.step(lambda: (in_module("unkept", F.hardswish)(leaf * 1).double()
                            * weight).sum())


@case
def a_step_has_no_side_bytes(probe):
    torch.manual_seed(3)
    for name, (function, _) in FUNCTIONS.items():
        model = torch.nn.Sequential(
            torch.nn.Linear(16, 64), in_module(f"side_{name}", function),
            torch.nn.Linear(64, 4))
        batch = torch.randn(8, 16)
        probe.step(lambda m=model, b=batch: m(b).sum(), model)


@case
def an_output_that_is_overwritten(probe):
    """The held copy keeps the bits that the write destroys."""
    for name, (function, _) in FUNCTIONS.items():
        x = torch.linspace(-4, 4, 1001).requires_grad_()

        def forward(x, f=function):
            y = f(x * 1)
            y.mul_(-3)
            return y

        y = in_module(f"written_{name}", forward)(x)
        (dx,) = torch.autograd.grad(y.sum(), x)
        exact = x.detach().double().requires_grad_()
        (true,) = torch.autograd.grad(function(exact).sum() * -3, exact)
        probe.fact(**{name: float((dx - true).abs().max())})


@case
def a_second_derivative(probe):
    for name, (function, _) in FUNCTIONS.items():
        x = torch.linspace(-4, 4, 301).requires_grad_()
        y = in_module(f"second_{name}", lambda t, f=function: f(t * 1))(x)
        (first,) = torch.autograd.grad(y.pow(2).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x)
        exact = x.detach().double().requires_grad_()
        (one,) = torch.autograd.grad(function(exact).pow(2).sum(), exact,
                                     create_graph=True)
        (two,) = torch.autograd.grad(one.sum(), exact)
        far = (exact.detach() - FUNCTIONS[name][1]).abs() > 0.05
        if name == "hardswish":
            far &= (exact.detach().abs() - 3).abs() > 0.02
        probe.fact(**{name: float((second - two)[far].abs().max())})


@case
def a_graph_that_is_read_twice(probe):
    x = torch.linspace(-4, 4, 1001).requires_grad_()
    y = in_module("twice", lambda t: F.gelu(t * 1))(x).pow(2)
    first = torch.autograd.grad(y.sum(), x, retain_graph=True)[0]
    probe.fact(same=torch.equal(
        first, torch.autograd.grad(y.sum(), x)[0]))


CASES = names(__name__)

if __name__ == "__main__":
    main()
