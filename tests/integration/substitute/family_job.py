"""Activations that PyTorch's own backward serves from the output. See probe.py.

Every value of the 16-bit dtypes, a grid and special values in float32 and
float64. The next op of each program saves the activation's output, so that
holding it gains something.
"""

import hashlib

import torch
from torch.nn import functional as F

from activation_parts import every_16_bit, gradient
from probe import case, in_module, main, names

# Gradients are those of eager, bit for bit.
EXACT = {
    "leaky_relu": F.leaky_relu,
    "leaky_relu_zero": lambda x: F.leaky_relu(x, 0.0),
    "leaky_relu_steep": lambda x: F.leaky_relu(x, 1.75),
    "rrelu": F.rrelu,
    "rrelu_steep": lambda x: F.rrelu(x, 0.5, 2.0),
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "hardtanh_odd": lambda x: F.hardtanh(x, -0.1, 0.7),
    "hardtanh_point": lambda x: F.hardtanh(x, 0.3, 0.3),
    "threshold": lambda x: F.threshold(x, 0.1, -20.0),
    "threshold_same": lambda x: F.threshold(x, 0.3, 0.3),
    "hardshrink": F.hardshrink,
    "hardshrink_wide": lambda x: F.hardshrink(x, 2.3),
    "hardshrink_zero": lambda x: F.hardshrink(x, 0.0),
    "softshrink": F.softshrink,
    "softshrink_odd": lambda x: F.softshrink(x, 0.3),
    "softshrink_zero": lambda x: F.softshrink(x, 0.0),
}
# The same by a kernel of ours and one bit an element; float64 is left alone.
EXACT_WITH_BIT = {
    "leaky_relu_falling": lambda x: F.leaky_relu(x, -0.2),
    "leaky_relu_falling_steep": lambda x: F.leaky_relu(x, -1.75),
    "leaky_relu_falling_barely": lambda x: F.leaky_relu(x, -1e-30),
    "leaky_relu_falling_far": lambda x: F.leaky_relu(x, -3e4),
}
# In 16 bits their scalars are rounded onto an x of another slope: refused.
EXACT_UNLESS_SHORT = ("hardtanh_odd", "hardtanh_point", "threshold_same",
                      "softshrink_odd")
# Gradients are as near as y tells.
ROUNDED = {
    "elu": F.elu,
    "elu_half": lambda x: F.elu(x, 0.5),
    "selu": F.selu,
    "celu": F.celu,
    "celu_wide": lambda x: F.celu(x, 2.5),
}
# Told from y by a kernel of ours; on the CPU PyTorch keeps a second tensor.
BY_KERNEL = {"log_sigmoid": F.logsigmoid}
# PyTorch keeps two tensors of the input's size.
KEPT_TWICE = ("rrelu", "rrelu_steep", "log_sigmoid")


def _random_slopes(x):
    torch.manual_seed(11)
    return F.rrelu(x, training=True)


# y does not tell the slope: PyTorch keeps the input.
REFUSED = {
    # 0 in float32, in which PyTorch multiplies.
    "leaky_relu_vanishing": lambda x: F.leaky_relu(x, -1e-60),
    "threshold_above": lambda x: F.threshold(x, 0.1, 3.0),
    "elu_flat": lambda x: F.elu(x, 0.0),
    "rrelu_training": _random_slopes,
    "rrelu_negative": lambda x: F.rrelu(x, -0.5, 0.1),
    "prelu": lambda x: F.prelu(x, torch.tensor([0.25]).requires_grad_()),
}
IN_PLACE = {
    "silu_": lambda x: F.silu(x, inplace=True),
    "mish_": lambda x: F.mish(x, inplace=True),
    "hardtanh_": lambda x: F.hardtanh(x, inplace=True),
}
HELD = {**EXACT, **ROUNDED, **BY_KERNEL, **EXACT_WITH_BIT}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16,
          "float16": torch.float16, "float64": torch.float64}


def _values(dtype):
    if dtype.itemsize == 2:
        return every_16_bit(dtype)
    special = torch.tensor([0.0, -0.0, float("nan"), float("inf"),
                            float("-inf"), 1e-42, -1e-42, 1e38, -1e38, 0.5,
                            -0.5, 6.0, 0.1, 0.3, -0.3, 1.0, -1.0])
    edges = torch.tensor([0.5, 0.3, 6.0, 1.0, 0.1]).view(torch.int32)
    near = (edges[:, None] + torch.arange(-40, 41, dtype=torch.int32)).view(
        torch.float32).flatten()
    return torch.cat([special, near, -near,
                      torch.linspace(-9, 9, 200_001)]).to(dtype)


def _gradient(name, function, x):
    """dx for dy = 1.5, and whether the output was held."""
    return gradient(name, function, x, torch.full_like(x, 1.5))[:2]


def _digest(tensor):
    """Of the bits; all NaN are one."""
    tensor = torch.where(tensor.isnan(), torch.full_like(tensor, 777), tensor)
    return hashlib.sha256(
        tensor.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


@case
def bit_exact_gradients(probe):
    for name, function in {**EXACT, **EXACT_WITH_BIT}.items():
        for label, dtype in DTYPES.items():
            x = _values(dtype)
            dx, served, y = gradient(f"{name}_{label}", function, x,
                                     torch.full_like(x, 1.5))
            probe.note(**{f"{name}_{label}": [_digest(dx), _digest(y)]})
            probe.fact(**{f"{name}_{label}": served})


@case
def gradients_as_near_as_the_output_tells(probe):
    for name, function in ROUNDED.items():
        for label, dtype in DTYPES.items():
            x = _values(dtype)
            dx, served = _gradient(f"{name}_{label}", function, x)
            exact = x.double().requires_grad_()
            (true,) = torch.autograd.grad(function(exact).sum() * 1.5, exact)
            finite = torch.isfinite(x)
            probe.note(**{f"{name}_{label}_nan": _digest(
                torch.isnan(dx).float())})
            probe.fact(**{f"{name}_{label}": {
                "served": served,
                "worst": float((dx.double() - true)[finite].abs().max() / 1.5)
            }})


@case
def refused_and_in_place(probe):
    for name, function in {**REFUSED, **IN_PLACE}.items():
        dx, served = _gradient(name, function, torch.linspace(-4, 4, 999))
        probe.note(**{name: _digest(dx)})
        probe.fact(**{name: served})


@case
def leaky_relu_in_place(probe):
    """PyTorch keeps its output, and refuses a slope below 0 in backward."""
    for name, slope in {"rising": 0.2, "falling": -0.2}.items():
        x = torch.linspace(-4, 4, 999).requires_grad_()
        y = in_module(f"in_place_{name}", lambda t, s=slope: F.leaky_relu(
            t * 1, s, inplace=True))(x)
        try:
            (dx,) = torch.autograd.grad(y.sum(), x)
            probe.note(**{name: _digest(dx)})
        except RuntimeError as error:
            probe.note(**{name: str(error)})


@case
def parameters_that_change_all_the_time(probe):
    x = torch.linspace(-5, 5, 2001)
    for number in range(40):
        beta = 0.5 + number / 8
        for name, function in {
                "softplus": lambda t, b=beta: F.softplus(t, b, 20.0),
                "leaky": lambda t, b=beta: F.leaky_relu(t, b / 10),
                "falling": lambda t, b=beta: F.leaky_relu(t, -b)}.items():
            dx, served = _gradient(f"{name}_{number}", function, x)
            exact = x.double().requires_grad_()
            (true,) = torch.autograd.grad(function(exact).sum() * 1.5, exact)
            probe.fact(**{f"{name}_{number}": [
                served, float((dx.double() - true).abs().max())]})


@case
def second_derivatives_of_the_family(probe):
    for name, function in HELD.items():
        x = torch.linspace(-3, 3, 301).requires_grad_()
        y = in_module(f"second_{name}", lambda t, f=function: f(t * 1))(x)
        weight = torch.linspace(0.5, 1.5, y.numel()).requires_grad_()
        (first,) = torch.autograd.grad((y * weight).pow(2).sum(), x,
                                       create_graph=True)
        second = torch.autograd.grad(first.sum(), (x, weight),
                                     allow_unused=True)
        probe.near.extend(float(t.double().abs().sum()) for t in second
                          if t is not None)


@case
def a_step_holds_no_input(probe):
    """Linear, activation, Linear: what eager keeps twice is there once."""
    torch.manual_seed(3)
    for name, function in HELD.items():
        model = torch.nn.Sequential(
            torch.nn.Linear(16, 64),
            in_module(f"held_{name}", function), torch.nn.Linear(64, 4))
        batch = torch.randn(8, 16)
        probe.step(lambda m=model, b=batch: m(b).sum(), model)


CASES = names(__name__)

if __name__ == "__main__":
    main()
