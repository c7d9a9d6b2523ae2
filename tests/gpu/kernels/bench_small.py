#!/usr/bin/env python3
"""Activations of 2^18 to 2^24 elements on a GPU, beside eager PyTorch: what the
kernels take, and what a call takes with the host's part.

usage: bench_small.py [--rounds N] [--powers 18 20 22 24] [--ops gelu silu ...]

  kernels  us of forward + backward, replays of a graph with many calls, so that
           the host does not count; eager, packed bits, bits in y (the kernels
           of INVACT_BITS=mantissa). Goal: 1.05 x eager from 2^20 on.
  calls    us that F.op and its backward take more under `invert` than under
           `none`, in an attached process whose policy changes from round to
           round: of the host alone, and until the GPU is done. Once with
           packed bits, once with INVACT_BITS=mantissa. Goal: 3 us of the host.

Everything takes turns in random order; medians, of differences with their 95 %
interval. A goal that is missed is shown and fails nothing; what fails is a call
that was not served. With OUT set writes $OUT/small.json.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import torch

HERE = pathlib.Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1]),
                str(HERE.parents[2] / "unit" / "kernels"),
                str(HERE.parents[2] / "bench" / "plugin")]
import bench_costs  # noqa: E402
import bench_kernels  # noqa: E402
import kernel_library  # noqa: E402
import support  # noqa: E402

OPS = bench_kernels.OPS
MOST_OVER_EAGER = 1.05
MOST_HOST_US = 3
CALLS = 20  # of a round
ATTACHED = "--attached"


def graph_of(call, repeats):
    call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repeats):
            call()
    return graph


def kernel_times(name, dtype, kernels, count, rounds):
    """us of one call among many that a graph replays."""
    key, eager, eager_backward, scalars = OPS[name]
    activation = kernels[key]
    x, dy = (torch.randn(count, device="cuda", dtype=dtype) for _ in range(2))
    y, dx, y_with_bits = (torch.empty_like(x) for _ in range(3))
    side = kernel_library.new_side(x)
    in_y = kernel_library.BIT_IN_Y
    calls = {
        "eager forward": lambda: eager(x),
        "eager backward": lambda: eager_backward(dy, x),
        "packed forward": lambda: kernel_library.forward(
            activation, x, y, side, scalars),
        "packed backward": lambda: kernel_library.backward(
            activation, y, side, dy, dx, scalars),
    }
    if activation.flags & kernel_library.SERVES_BIT_IN_Y:
        calls["in y forward"] = lambda: kernel_library.forward(
            activation, x, y_with_bits, None, scalars, in_y)
        calls["in y backward"] = lambda: kernel_library.backward(
            activation, y_with_bits, None, dy, dx, scalars, in_y)
    repeats = max(1, min(20, (1 << 26) // count))
    graphs = {what: graph_of(call, repeats) for what, call in calls.items()}
    events = {what: [] for what in calls}
    order = random.Random(1)
    for round_number in range(rounds + 2):
        for what in order.sample(list(calls), len(calls)):
            bench_kernels.timed(graphs[what].replay,
                                events[what] if round_number >= 2 else [])
        torch.cuda.synchronize()
    return {what: ms * 1000 / repeats
            for what, ms in bench_kernels.medians(events).items()}


def bench_kernel_times(verdicts, options):
    kernels = kernel_library.load(support.LIB / "libinvact-cuda.so")
    bench_kernels.prepare(kernels)
    print("kernels, us: forward + backward")
    for name in options.ops:
        for dtype in kernel_library.DTYPES:
            for power in options.powers:
                us = kernel_times(name, dtype, kernels, 1 << power,
                                  options.rounds)
                verdicts.row(op=name, dtype=str(dtype), elements=1 << power,
                             us=us)
                text = f"{name:10} {str(dtype)[6:]:8} 2^{power}"
                eager = us["eager forward"] + us["eager backward"]
                for kind in ("eager", "packed", "in y"):
                    if f"{kind} forward" not in us:
                        continue
                    parts = us[f"{kind} forward"], us[f"{kind} backward"]
                    text += f"  {kind} {parts[0]:.2f} + {parts[1]:.2f}"
                    if kind != "eager":
                        ratio = sum(parts) / eager
                        met = power < 20 or ratio <= MOST_OVER_EAGER
                        text += f" ({ratio:.3f}{'' if met else ', MISSED'})"
                print(text, flush=True)


class Starts(torch.autograd.Function):
    """x as the output of a layer: a leaf would not count as saved."""

    @staticmethod
    def forward(ctx, seed, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return None, None


class Keeps(torch.autograd.Function):
    """Keeps y for backward, as a Linear would, and does nothing else."""

    @staticmethod
    def forward(ctx, y):
        ctx.save_for_backward(y)
        return y.view_as(y)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Calls(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, seed, inputs):
        return [Keeps.apply(self.function(Starts.apply(seed, x)))
                for x in inputs]


def one_round(module, inputs, seed):
    """us a call: of the host, and until the GPU is done."""
    torch.cuda.synchronize()
    begin = time.perf_counter_ns()
    torch.autograd.backward(module(seed, inputs), inputs)
    enqueued = time.perf_counter_ns()
    torch.cuda.synchronize()
    done = time.perf_counter_ns()
    return (enqueued - begin) / 1e3 / CALLS, (done - begin) / 1e3 / CALLS


def bench_calls(options):
    """In an attached process; its rows as JSON, a line each."""
    library = support.plugin()
    if library is None:
        sys.exit(f"not attached: is {support.PRELOAD} there?")
    bits = os.environ["INVACT_BITS"]
    for name in options.ops:
        for dtype in kernel_library.DTYPES:
            for power in options.powers:
                inputs = [torch.randn(1 << power, device="cuda", dtype=dtype)
                          for _ in range(CALLS)]
                seed = torch.zeros((), device="cuda", requires_grad=True)
                # A name of its own: its own call sites.
                named = type(f"{name}_{str(dtype)[6:]}_{power}", (Calls,), {})
                module = named(OPS[name].eager)

                def once():
                    return one_round(module, inputs, seed)

                library.invact_set_policy_for_test(b"invert")
                once()  # the kernels' check
                results = bench_costs.rounds_of(
                    library, ["none", "invert"], options.rounds, once)
                library.invact_set_policy_for_test(b"invert")
                once()
                row = {"op": name, "dtype": str(dtype), "bits": bits,
                       "elements": 1 << power,
                       "eliminated": support.totals(library)["eliminated"]}
                for part, what in enumerate(("host", "wall")):
                    row[what] = bench_costs.median_and_interval(
                        [a[part] - b[part] for a, b in
                         zip(results["invert"], results["none"])])
                    row[f"eager_{what}"] = bench_costs.median_and_interval(
                        [b[part] for b in results["none"]])[0]
                print("ROW " + json.dumps(row), flush=True)


def judge_calls(verdicts, bits):
    with tempfile.TemporaryDirectory() as folder:
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("INVACT_")}
        environment.update(LD_PRELOAD=str(support.PRELOAD), INVACT_BITS=bits,
                           INVACT_POLICY="invert", INVACT_STATE_DIR=folder,
                           XDG_RUNTIME_DIR=folder)
        done = subprocess.run([sys.executable, HERE, ATTACHED, *sys.argv[1:]],
                              env=environment, check=False, text=True,
                              stdout=subprocess.PIPE)
    rows = [json.loads(line[4:]) for line in done.stdout.splitlines()
            if line.startswith("ROW ")]
    verdicts.check(done.returncode == 0 and rows,
                   f"calls, {bits}: exit code {done.returncode}")
    for row in rows:
        verdicts.row(**row)
        host, wall = row["host"], row["wall"]
        print(f"{row['op']:10} {row['dtype'][6:]:8} "
              f"2^{row['elements'].bit_length() - 1} {bits:8} host "
              f"{row['eager_host']:.2f} {host[0]:+.2f} [{host[1]:.2f}, "
              f"{host[2]:.2f}]{'' if host[0] <= MOST_HOST_US else ' MISSED'}, "
              f"wall {row['eager_wall']:.2f} {wall[0]:+.2f} [{wall[1]:.2f}, "
              f"{wall[2]:.2f}]", flush=True)
    idle = [f"{row['op']} {row['dtype'][6:]} of {row['elements']}"
            for row in rows if row["eliminated"] <= 0]
    verdicts.check(not idle, f"calls, {bits}: all were served" +
                   (", but not " + ", ".join(idle) if idle else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--powers", type=int, nargs="*",
                        default=[18, 20, 21, 22, 24],
                        help="numbers of elements, as powers of two")
    parser.add_argument("--ops", nargs="*", choices=list(OPS),
                        default=list(OPS))
    parser.add_argument(ATTACHED, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attached:
        bench_calls(options)
        return
    support.require_gpu()
    verdicts = support.Verdicts("small")
    bench_kernel_times(verdicts, options)
    print("calls, us a call under none, and more under invert")
    for bits in ("packed", "mantissa"):
        judge_calls(verdicts, bits)
    verdicts.finish()


if __name__ == "__main__":
    main()
