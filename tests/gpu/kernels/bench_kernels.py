#!/usr/bin/env python3
"""The CUDA kernels beside eager PyTorch: the same bits forward for every
pattern of every dtype, the gradient's error for every 16-bit pattern, and the
time of both at 8192 x 16384 (by size: bench_small.py).

Eager and ours take turns in one stream, in random order; the table has the
median of each, GB/s as bytes that have to move, and the share of what a
device-to-device copy reaches in the same run. Criterion: forward + backward at
most 5 % over eager. With OUT set writes $OUT/bandwidth.json.
"""
import argparse
import pathlib
import random
import statistics
import sys
import typing

import torch

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))
sys.path.insert(0, str(HERE.parents[2] / "unit" / "kernels"))
import kernel_library  # noqa: E402
import support  # noqa: E402

F = torch.nn.functional
aten = torch.ops.aten


class Op(typing.NamedTuple):
    key: tuple  # op and variant
    eager: typing.Callable
    eager_backward: typing.Callable  # of dy and x
    scalars: tuple = ()


OPS = {
    "gelu": Op(("aten::gelu", "none"), F.gelu, aten.gelu_backward),
    "gelu_tanh": Op(
        ("aten::gelu", "tanh"), lambda x: F.gelu(x, approximate="tanh"),
        lambda dy, x: aten.gelu_backward(dy, x, approximate="tanh")),
    "silu": Op(("aten::silu", ""), F.silu, aten.silu_backward),
    "mish": Op(("aten::mish", ""), F.mish, aten.mish_backward),
    "hardswish": Op(("aten::hardswish", ""), F.hardswish,
                    aten.hardswish_backward),
    "leaky_relu": Op(
        ("aten::leaky_relu", ""), lambda x: F.leaky_relu(x, -0.2),
        lambda dy, x: aten.leaky_relu_backward(dy, x, -0.2, False), (-0.2,)),
}
SHAPE = (8192, 16384)
MOST_OVER_EAGER = 1.05


def same_bits(a, b):
    """Number of elements that differ; NaN equals NaN whatever its payload."""
    ints = torch.int32 if a.element_size() == 4 else torch.int16
    differ = (a.view(ints) != b.view(ints)) & ~(a.isnan() & b.isnan())
    return int(differ.sum())


def shuffled_patterns(dtype):
    """Each pattern of a 16-bit dtype among many others."""
    bits = torch.randint(-32768, 32768, (1 << 26,), device="cuda",
                         dtype=torch.int16)
    return bits.view(dtype)


def patterns(dtype):
    """All bit patterns of a dtype, in parts that fit; first in order."""
    if dtype != torch.float32:
        yield torch.arange(65536, device="cuda", dtype=torch.int32).to(
            torch.int16).view(dtype)
        yield shuffled_patterns(dtype)
        return
    part = 1 << 28
    for first in range(-(1 << 31), 1 << 31, part):
        yield torch.arange(first, first + part, device="cuda").to(
            torch.int32).view(torch.float32)


def check_forward(verdicts, kernels):
    for name, (key, eager, _, scalars) in OPS.items():
        for dtype in kernel_library.DTYPES:
            differ = 0
            for x in patterns(dtype):
                y, side = torch.empty_like(x), kernel_library.new_side(x)
                kernel_library.forward(kernels[key], x, y, side, scalars)
                differ += same_bits(y, eager(x))
                del x, y, side
            verdicts.check(differ == 0, f"forward {name} {dtype}: {differ} of "
                           "all patterns differ from eager's bits")


def prepare(kernels):
    """As the plugin does: y of the installed PyTorch, f' from float64."""
    for key, eager, _, _ in OPS.values():
        for dtype, number in kernel_library.DTYPES.items():
            if kernels[key].table_dtypes >> number & 1:
                x = next(patterns(dtype))
                kernel_library.prepare(kernels[key], eager(x),
                                       slope(eager, x))


def slope(eager, x):
    """f' in float64, on the CPU."""
    exact = x.cpu().double().requires_grad_()
    return torch.autograd.grad(eager(exact).sum(), exact)[0]


def check_gradient(verdicts, kernels):
    """dy == 1 on all finite patterns; half a step of dx's own rounding is left
    out of the largest error, as in the stated bound."""
    for name, (key, eager, _, scalars) in OPS.items():
        for dtype in (torch.bfloat16, torch.float16):
            x = next(patterns(dtype))
            y, side = torch.empty_like(x), kernel_library.new_side(x)
            dx, ones = torch.empty_like(x), torch.ones_like(x)
            kernel_library.forward(kernels[key], x, y, side, scalars)
            kernel_library.backward(kernels[key], y, side, ones, dx, scalars)
            finite = x.cpu().isfinite()
            got, exact = dx.cpu().double()[finite], slope(eager, x)[finite]
            size = x.cpu().double()[finite].abs()
            error = (got - exact).abs()
            half_step = got.abs() * torch.finfo(dtype).eps / 2
            tiny = torch.finfo(dtype).smallest_normal
            weight = torch.exp2(size.clamp_min(tiny).log2().floor()) * (
                -size * size / 2).exp()
            rms = ((weight * error * error).sum() / weight.sum()).sqrt().item()
            worst = (error - half_step).max().item()
            most = kernels[key].error_max[kernel_library.DTYPES[dtype]]
            verdicts.check(worst <= most, f"gradient {name} {dtype}: largest "
                           f"error {worst:.2e} (at most {most:.2e}), rms with "
                           f"dx's rounding {rms:.3e}")


def timed(call, sink):
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    begin.record()
    call()
    end.record()
    sink.append((begin, end))


def medians(events):
    return {what: statistics.median(a.elapsed_time(b) for a, b in pairs)
            for what, pairs in events.items()}


def measure(name, dtype, kernels, rounds):
    key, eager, eager_backward, scalars = OPS[name]
    activation = kernels[key]
    x = torch.randn(SHAPE, device="cuda", dtype=dtype)
    y, dx, copied = (torch.empty_like(x) for _ in range(3))
    dy = torch.randn(SHAPE, device="cuda", dtype=dtype)
    side = kernel_library.new_side(x)
    kernel_library.forward(activation, x, y, side, scalars)
    calls = {
        "eager forward": lambda: eager(x),
        "forward": lambda: kernel_library.forward(
            activation, x, y, side, scalars),
        "eager backward": lambda: eager_backward(dy, x),
        "backward": lambda: kernel_library.backward(
            activation, y, side, dy, dx, scalars),
        "mark": lambda: kernel_library.mark(activation, x, side, scalars),
        "copy": lambda: copied.copy_(x),
    }
    events = {what: [] for what in calls}
    order = random.Random(1)
    for round_number in range(rounds + 5):
        for what in order.sample(list(calls), len(calls)):
            timed(calls[what], events[what] if round_number >= 5 else [])
        torch.cuda.synchronize()
    ms = medians(events)
    width = x.element_size()
    moved = {"eager forward": 2 * width, "forward": 2 * width + 0.125,
             "eager backward": 3 * width, "backward": 3 * width + 0.125,
             "mark": width + 0.125, "copy": 2 * width}
    rate = {what: x.numel() * moved[what] / ms[what] / 1e6 for what in calls}
    return ms, rate


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    support.require_gpu()
    verdicts = support.Verdicts("bandwidth")
    kernels = kernel_library.load(support.LIB / "libinvact-cuda.so")
    prepare(kernels)
    check_forward(verdicts, kernels)
    check_gradient(verdicts, kernels)
    print(f"{SHAPE[0]} x {SHAPE[1]}, median of {options.rounds}:")
    for name in OPS:
        for dtype in kernel_library.DTYPES:
            ms, rate = measure(name, dtype, kernels, options.rounds)
            for what in ms:
                share = rate[what] / rate["copy"]
                print(f"{name:10} {str(dtype)[6:]:8} {what:14} {ms[what]:.4f} "
                      f"ms {rate[what]:6.0f} GB/s {share:4.0%} of copy")
                verdicts.row(op=name, dtype=str(dtype), what=what, ms=ms[what],
                             gb_per_s=rate[what], share_of_copy=share)
            ours = ms["forward"] + ms["backward"]
            eager = ms["eager forward"] + ms["eager backward"]
            verdicts.check(
                ours <= eager * MOST_OVER_EAGER,
                f"{name} {dtype}: forward + backward {ours:.4f} ms, eager "
                f"{eager:.4f} ms, ratio {ours / eager:.4f} (at most "
                f"{MOST_OVER_EAGER})")
    verdicts.finish()


if __name__ == "__main__":
    main()
