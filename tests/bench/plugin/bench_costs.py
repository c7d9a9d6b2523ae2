#!/usr/bin/env python3
"""What the plugin costs the training thread on a CPU.

usage: [INVACT_BUILD_DIR=build] python tests/bench/plugin/bench_costs.py
           [--rounds N] [--ops N] [saved substituted kernels]

One attached process; the policy changes from round to round, so that each
round under a policy has neighbours under `none`, where the plugin only looks
at a flag. Three tables:
  saved        ns a saved tensor more than under `none`, in forward (packed,
               entered, sent) and in backward (read back, dropped)
  substituted  us more for GELU or SiLU of a tiny tensor under `invert`
  kernels      ms of GELU and SiLU of a large tensor, eager and inverted, with
               one thread and with all
Median of the rounds' differences, with the 95 % interval of the median. The
first two count the training thread's own processor time, which a busy machine
disturbs least; the last one counts real time.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2] / "gpu"))
import support  # noqa: E402

ATTACHED = "--attached"


def median_and_interval(values):
    low, high = support.interval(values)
    return statistics.median(values), low, high


def rounds_of(library, policies, rounds, once):
    """once() under each policy in random order, `rounds` times. Gives per
    policy the list of what it returned."""
    order = random.Random(1)
    results = {policy: [] for policy in policies}
    for number in range(rounds + 5):
        for policy in order.sample(policies, len(policies)):
            assert library.invact_set_policy_for_test(policy.encode()) == 0
            figures = once()
            if number >= 5:
                results[policy].append(figures)
    return results


def forward_and_backward(graph, head, clock=time.thread_time_ns):
    """ns of building a graph and of going back through it."""
    begin = clock()
    y = graph()
    middle = clock()
    y.backward(head)
    end = clock()
    return middle - begin, end - middle


def check_inverted(library, once):
    """A figure of `invert` stands only where something was inverted."""
    library.invact_set_policy_for_test(b"invert")
    once()
    eliminated = support.totals(library)["eliminated"]
    assert eliminated > 0, "nothing was inverted"


def differences(results, policy, count):
    """(forward, backward, both) per item, of `policy` over `none`, in ns."""
    for part in (lambda f: f[0], lambda f: f[1], sum):
        yield median_and_interval(
            [(part(a) - part(b)) / count
             for a, b in zip(results[policy], results["none"])])


def report(figures, name, count, results, policy, target_ns, unit, scale):
    names = ("forward", "backward", "both")
    parts = dict(zip(names, differences(results, policy, count)))
    met = parts["both"][0] <= target_ns
    text = ", ".join(f"{part} {m / scale:.2f} [{low / scale:.2f}, "
                     f"{high / scale:.2f}]"
                     for part, (m, low, high) in parts.items())
    print(f"{name:34} {policy:8} {text} {unit} (target "
          f"{target_ns / scale:g}: {'met' if met else 'MISSED'})", flush=True)
    figures.append({"name": name, "policy": policy, "target_ns": target_ns,
                    "met": met, **{k: v[0] for k, v in parts.items()}})


def bench_saved(library, torch, options, figures):
    x = torch.rand(16, requires_grad=True)
    head = torch.ones(16)

    class Chain(torch.nn.Module):
        def forward(self, y):
            for _ in range(options.ops):
                y = torch.sin(y)  # keeps its input
            return y

    class Outputs(torch.nn.Module):
        def forward(self, y):
            for _ in range(options.ops):
                y = torch.sigmoid(y)  # keeps its output
            return y

    class Layers(torch.nn.Module):
        """Eight saves a module, as a training job has it."""

        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList(
                Eight() for _ in range(options.ops // 8))

        def forward(self, y):
            for layer in self.layers:
                y = layer(y)
            return y

    class Eight(torch.nn.Module):
        def forward(self, y):
            for _ in range(8):
                y = torch.sin(y)
            return y

    for name, module in (("input kept, one module", Chain()),
                         ("output kept, one module", Outputs()),
                         ("eight a module, with its scopes", Layers())):
        results = rounds_of(
            library, ["none", "observe"], options.rounds,
            lambda module=module: forward_and_backward(lambda: module(x), head))
        report(figures, name, options.ops, results, "observe", 500, "ns", 1)


def bench_substituted(library, torch, options, figures):
    x = torch.rand(64, requires_grad=True)
    head = torch.ones(64)
    count = options.ops // 4

    class Chain(torch.nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, y):
            for _ in range(count):
                # sin keeps f's output, as a Linear would.
                y = torch.sin(self.function(y))
            return y

    for function in (torch.nn.functional.gelu, torch.nn.functional.silu):
        module = Chain(function)

        def once(module=module):
            return forward_and_backward(lambda: module(x), head)

        results = rounds_of(library, ["none", "observe", "invert"],
                            options.rounds, once)
        check_inverted(library, once)
        name = f"{function.__name__} of 64 elements"
        report(figures, name, count, results, "observe", 1000, "us", 1000)
        report(figures, name, count, results, "invert", 4000, "us", 1000)
        over = {"none": results["observe"], "invert": results["invert"]}
        report(figures, name + ", over observe", count, over, "invert", 3000,
               "us", 1000)


def bench_kernels(library, torch, options, figures):
    functional = torch.nn.functional
    operations = {
        "gelu": functional.gelu, "silu": functional.silu,
        "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh")}
    threads_of_all = torch.get_num_threads()

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

    for threads in sorted({1, threads_of_all}):
        torch.set_num_threads(threads)
        for name, operation in operations.items():
            for dtype in (torch.float32, torch.bfloat16):
                x = torch.randn(2048, 4096, dtype=dtype)
                head = torch.ones_like(x)
                seed = torch.zeros((), requires_grad=True)

                def graph(x=x, seed=seed, operation=operation):
                    return Keeps.apply(operation(Starts.apply(seed, x)))

                def once(graph=graph, head=head):
                    return forward_and_backward(graph, head,
                                                time.perf_counter_ns)

                results = rounds_of(library, ["none", "invert"],
                                    max(10, options.rounds // 10), once)
                check_inverted(library, once)
                parts = {}
                for policy, pairs in results.items():
                    parts[policy] = [statistics.median(p) / 1e6
                                     for p in zip(*pairs)]
                    parts[policy].append(sum(parts[policy]))
                ratio, low, high = median_and_interval(
                    [sum(a) / sum(b) for a, b in
                     zip(results["invert"], results["none"])])
                print(f"{name:9} {str(dtype)[6:]:8} {threads} threads: eager "
                      "{:.2f} + {:.2f} ms, invert {:.2f} + {:.2f} ms, ratio "
                      .format(*parts["none"][:2], *parts["invert"][:2]) +
                      f"{ratio:.3f} [{low:.3f}, {high:.3f}]", flush=True)
                figures.append({"name": name, "dtype": str(dtype),
                                "threads": threads, "ratio": ratio, **parts})
    torch.set_num_threads(threads_of_all)


BENCHES = {"saved": bench_saved, "substituted": bench_substituted,
           "kernels": bench_kernels}


def attach(arguments, script=HERE):
    """Starts a script again, attached, with a state folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("INVACT_")}
        environment.update(LD_PRELOAD=str(support.PRELOAD),
                           INVACT_POLICY="invert", INVACT_STATE_DIR=folder,
                           XDG_RUNTIME_DIR=folder)
        return subprocess.run([sys.executable, script, ATTACHED, *arguments],
                              env=environment, check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benches", nargs="*", default=list(BENCHES))
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--ops", type=int, default=400)
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument(ATTACHED, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.attached:
        sys.exit(attach(sys.argv[1:]))
    import torch
    library = support.plugin()
    if library is None:
        sys.exit(f"not attached: is {support.PRELOAD} there?")
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}")
    figures = []
    for name in options.benches:
        BENCHES[name](library, torch, options, figures)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
