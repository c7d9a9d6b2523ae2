#!/usr/bin/env python3
"""GELU and SiLU, forward and backward, beside what others do, on a GPU.

usage: [INVACT_LIB_DIR=build/lib] python tests/bench/kernels/bench_rivals.py
           [--rounds N]

All take turns in one process, in random order; medians. For each the time over
eager's, the bytes an element kept from forward to backward beside y (which the
next layer keeps anyway), and the gradient's error for dy = 1 against float64 on
x ~ N(0, 1):
  eager      PyTorch's kernels; keeps x
  compile    torch.compile of the function; keeps x
  recompute  keeps x and not y: backward makes y again for the next layer's
             weight gradient, then PyTorch's backward. The exact rival.
  optiacts   arXiv 2407.15545 as published (rival_formulas.py); keeps a bit
  invact     this project's kernels; keep a bit
With OUT set writes $OUT/rivals.json.
"""
import argparse
import pathlib
import random
import sys

import torch

HERE = pathlib.Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent), str(HERE.parents[2] / "gpu"),
                str(HERE.parents[2] / "gpu" / "kernels"),
                str(HERE.parents[2] / "unit" / "kernels")]
import bench_kernels  # noqa: E402
import kernel_library  # noqa: E402
import rival_formulas  # noqa: E402
import support  # noqa: E402

F = torch.nn.functional
COUNT = 1 << 27


def contenders(name, x, dy, kernels):
    """{who: (forward, backward)}; backward gives dx."""
    key, eager, eager_backward, _ = bench_kernels.OPS[name]
    theirs = {"gelu": (rival_formulas.gelu_forward,
                       rival_formulas.gelu_backward),
              "silu": (rival_formulas.silu_forward,
                       rival_formulas.silu_backward)}[name]
    leaf = x.detach().requires_grad_()
    compiled = torch.compile(eager)
    side = kernel_library.new_side(x)
    y, dx = torch.empty_like(x), torch.empty_like(x)
    state = {}

    def compiled_forward():
        state["y"] = compiled(leaf)

    def compiled_backward():
        return torch.autograd.grad(state.pop("y"), leaf, dy)[0]

    def their_forward():
        state["kept"] = theirs[0](x)

    def recompute_backward():
        eager(x)
        return eager_backward(dy, x)

    def our_backward():
        kernel_library.backward(kernels[key], y, side, dy, dx)
        return dx

    return {
        "eager": (lambda: eager(x), lambda: eager_backward(dy, x)),
        "compile": (compiled_forward, compiled_backward),
        "recompute": (lambda: eager(x), recompute_backward),
        "optiacts": (their_forward, lambda: theirs[1](*state["kept"], dy)),
        "invact": (lambda: kernel_library.forward(kernels[key], x, y, side),
                   our_backward),
    }


def kept(who, width):
    """Bytes an element beside y; for recompute y itself is spared."""
    return {"eager": width, "compile": width, "recompute": 0,
            "optiacts": 0.125, "invact": 0.125}[who]


def errors(name, dtype, kernels):
    """Largest and root mean square of the gradient's error, NaN left out but
    counted."""
    x = torch.randn(1 << 22, device="cuda", dtype=dtype)
    exact = x.double().requires_grad_()
    eager = bench_kernels.OPS[name][1]
    (true,) = torch.autograd.grad(eager(exact).sum(), exact)
    found = {}
    for who, (forward, backward) in contenders(
            name, x, torch.ones_like(x), kernels).items():
        forward()
        error = (backward().double() - true).abs()
        nan = int(error.isnan().sum())
        error = error[~error.isnan()]
        found[who] = (float(error.max()), float(error.pow(2).mean().sqrt()),
                      nan / x.numel())
    return found


def measure(name, dtype, kernels, rounds):
    x = torch.randn(COUNT, device="cuda", dtype=dtype)
    dy = torch.randn(COUNT, device="cuda", dtype=dtype)
    rivals = contenders(name, x, dy, kernels)
    events = {(who, part): [] for who in rivals for part in (0, 1)}
    order = random.Random(1)
    for number in range(rounds + 5):
        for who in order.sample(list(rivals), len(rivals)):
            for part in (0, 1):
                bench_kernels.timed(rivals[who][part], events[who, part]
                                    if number >= 5 else [])
        torch.cuda.synchronize()
    return bench_kernels.medians(events)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    support.require_gpu()
    torch.manual_seed(1)
    verdicts = support.Verdicts("rivals")
    kernels = kernel_library.load(support.LIB / "libinvact-cuda.so")
    bench_kernels.prepare(kernels)
    for name in ("gelu", "silu"):
        for dtype in (torch.float32, torch.bfloat16):
            error = errors(name, dtype, kernels)
            ms = measure(name, dtype, kernels, options.rounds)
            eager = ms["eager", 0] + ms["eager", 1]
            for who, (worst, rms, nan) in error.items():
                both = ms[who, 0] + ms[who, 1]
                beside = kept(who, dtype.itemsize)
                print(f"{name} {str(dtype)[6:]:8} {who:10} forward "
                      f"{ms[who, 0]:.4f} backward {ms[who, 1]:.4f} ms, "
                      f"{both / eager:.3f} x eager, keeps {beside:g} B, error "
                      f"{worst:.2e} / {rms:.2e}, NaN {nan:.2%}", flush=True)
                verdicts.row(op=name, dtype=str(dtype), who=who,
                             forward_ms=ms[who, 0], backward_ms=ms[who, 1],
                             over_eager=both / eager, kept_bytes=beside,
                             error_max=worst, error_rms=rms, nan_share=nan)
            verdicts.check(error["invact"][2] == 0,
                           f"{name} {dtype}: no NaN of ours")
    verdicts.finish()


if __name__ == "__main__":
    main()
