#!/usr/bin/env python3
"""The CUDA kernels beside eager PyTorch: the same bits forward for every
pattern of every dtype, and the time of both at 8192 x 16384.

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


def patterns(dtype):
    """All bit patterns of a dtype, in parts that fit."""
    if dtype != torch.float32:
        yield torch.arange(65536, device="cuda", dtype=torch.int32).to(
            torch.int16).view(dtype)
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


def timed(call, sink):
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    begin.record()
    call()
    end.record()
    sink.append((begin, end))


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
    ms = {what: statistics.median(a.elapsed_time(b) for a, b in pairs)
          for what, pairs in events.items()}
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
    check_forward(verdicts, kernels)
    print(f"{SHAPE[0]} x {SHAPE[1]}, median of {options.rounds}:")
    for name in OPS:
        for dtype in (torch.bfloat16, torch.float32):
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
    verdicts.finish()


if __name__ == "__main__":
    main()
