#!/usr/bin/env python3
"""The CUDA kernels beside eager PyTorch: the same bits forward for every
pattern of every dtype, the gradient's error for every 16-bit pattern, and the
time of both, at 8192 x 16384 and by size.

Eager and ours take turns in one stream, in random order; the table has the
median of each, GB/s as bytes that have to move, and the share of what a
device-to-device copy reaches in the same run. The small sizes are replays of a
graph with many calls, so that the host does not count. Criterion: forward +
backward at most 5 % over eager. With OUT set writes $OUT/bandwidth.json.
"""
import argparse
import pathlib
import random
import statistics
import sys

import torch

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))
sys.path.insert(0, str(HERE.parents[2] / "unit" / "kernels"))
import kernel_library  # noqa: E402
import support  # noqa: E402

F = torch.nn.functional
aten = torch.ops.aten
OPS = {
    "gelu": (("aten::gelu", "none"), F.gelu,
             lambda dy, x: aten.gelu_backward(dy, x)),
    "gelu_tanh": (("aten::gelu", "tanh"),
                  lambda x: F.gelu(x, approximate="tanh"),
                  lambda dy, x: aten.gelu_backward(dy, x, approximate="tanh")),
    "silu": (("aten::silu", ""), F.silu, aten.silu_backward),
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
    for name, (key, eager, _) in OPS.items():
        for dtype in kernel_library.DTYPES:
            differ = 0
            for x in patterns(dtype):
                y, side = torch.empty_like(x), kernel_library.new_side(x)
                kernel_library.forward(kernels[key], x, y, side)
                differ += same_bits(y, eager(x))
                del x, y, side
            verdicts.check(differ == 0, f"forward {name} {dtype}: {differ} of "
                           "all patterns differ from eager's bits")


def prepare(kernels):
    """As the plugin does: y of the installed PyTorch, f' from float64."""
    for key, eager, _ in OPS.values():
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
    for name, (key, eager, _) in OPS.items():
        for dtype in (torch.bfloat16, torch.float16):
            x = next(patterns(dtype))
            y, side = torch.empty_like(x), kernel_library.new_side(x)
            dx, ones = torch.empty_like(x), torch.ones_like(x)
            kernel_library.forward(kernels[key], x, y, side)
            kernel_library.backward(kernels[key], y, side, ones, dx)
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


def by_size(name, dtype, kernels, count, rounds=15):
    """ms of one call among many that a graph replays."""
    key, eager, eager_backward = OPS[name]
    x, dy = (torch.randn(count, device="cuda", dtype=dtype) for _ in range(2))
    y, dx = torch.empty_like(x), torch.empty_like(x)
    side = kernel_library.new_side(x)
    kernel_library.forward(kernels[key], x, y, side)
    calls = {
        "eager forward": lambda: eager(x),
        "forward": lambda: kernel_library.forward(kernels[key], x, y, side),
        "eager backward": lambda: eager_backward(dy, x),
        "backward": lambda: kernel_library.backward(
            kernels[key], y, side, dy, dx),
    }
    repeats = max(1, min(20, (1 << 26) // count))
    graphs, events = {}, {what: [] for what in calls}
    for what, call in calls.items():
        call()
        torch.cuda.synchronize()
        graphs[what] = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graphs[what]):
            for _ in range(repeats):
                call()
    order = random.Random(1)
    for round_number in range(rounds + 2):
        for what in order.sample(list(calls), len(calls)):
            timed(graphs[what].replay,
                  events[what] if round_number >= 2 else [])
        torch.cuda.synchronize()
    return {what: ms / repeats for what, ms in medians(events).items()}


def measure(name, dtype, kernels, rounds):
    key, eager, eager_backward = OPS[name]
    activation = kernels[key]
    x = torch.randn(SHAPE, device="cuda", dtype=dtype)
    y, dx, copied = (torch.empty_like(x) for _ in range(3))
    dy = torch.randn(SHAPE, device="cuda", dtype=dtype)
    side = kernel_library.new_side(x)
    kernel_library.forward(activation, x, y, side)
    calls = {
        "eager forward": lambda: eager(x),
        "forward": lambda: kernel_library.forward(activation, x, y, side),
        "eager backward": lambda: eager_backward(dy, x),
        "backward": lambda: kernel_library.backward(
            activation, y, side, dy, dx),
        "mark": lambda: kernel_library.mark(activation, x, side),
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
    parser.add_argument("--powers", type=int, nargs="*",
                        default=[16, 18, 20, 22, 24, 26, 28],
                        help="sizes of the second table, as powers of two")
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
                print(f"{name:9} {str(dtype)[6:]:8} {what:14} {ms[what]:.4f} "
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
    print("us by number of elements, eager forward + backward, ours:")
    for name in OPS:
        for dtype in kernel_library.DTYPES:
            for power in options.powers:
                us = {what: ms * 1000 for what, ms in by_size(
                    name, dtype, kernels, 1 << power).items()}
                verdicts.row(op=name, dtype=str(dtype), elements=1 << power,
                             us=us)
                ratio = ((us["forward"] + us["backward"])
                         / (us["eager forward"] + us["eager backward"]))
                print(f"{name:9} {str(dtype)[6:]:8} 2^{power} "
                      f"{us['eager forward']:8.2f} + "
                      f"{us['eager backward']:8.2f}, {us['forward']:8.2f} + "
                      f"{us['backward']:8.2f}, ratio {ratio:.3f}")
    verdicts.finish()


if __name__ == "__main__":
    main()
