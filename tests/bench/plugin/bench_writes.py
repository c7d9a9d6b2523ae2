#!/usr/bin/env python3
"""What ops that write in place cost a job, plain and attached, on a CPU.

usage: [INVACT_BUILD_DIR=build] python tests/bench/plugin/bench_writes.py
           [--pairs N]

Writes into a held output are watched under `invert`, so every in-place op passes
a guard of ours. Here nothing is held while they are timed, as in an optimizer's
step. Processes without invact, under observe and under invert take turns; each
tells the best of five loops, in ns a call; the table has the median process.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("INVACT_BUILD_DIR", ROOT / "build"))


def job():
    import torch
    torch.set_num_threads(1)
    a, b = torch.zeros(64), torch.ones(64)
    many, added = ([torch.zeros(64) for _ in range(50)] for _ in range(2))
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.GELU(),
                                torch.nn.Linear(8, 8))
    model(torch.randn(2, 8)).sum().backward()  # the plugin has begun
    calls = {"add_": (lambda: a.add_(b), 40_000),
             "mul_ by a number": (lambda: a.mul_(1.0), 40_000),
             "zero_": (lambda: a.zero_(), 40_000),
             "copy_": (lambda: a.copy_(b), 40_000),
             "_foreach_add_ of 50": (
                 lambda: torch._foreach_add_(many, added), 4_000)}
    figures = {}
    with torch.no_grad():
        for name, (call, count) in calls.items():
            best = float("inf")
            for _ in range(5):
                begin = time.perf_counter()
                for _ in range(count):
                    call()
                best = min(best, time.perf_counter() - begin)
            figures[name] = best / count * 1e9
    print(json.dumps(figures))


def run(policy, state):
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith("INVACT_") and key != "LD_PRELOAD"}
    if policy != "plain":
        environment.update(LD_PRELOAD=str(BUILD / "lib" / "libinvact.so"),
                           INVACT_POLICY=policy, INVACT_STATE_DIR=state)
    done = subprocess.run([sys.executable, __file__, "--job"],
                          env=environment, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        sys.exit(f"{policy}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--job", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job()
        return
    results = {policy: [] for policy in ("plain", "observe", "invert")}
    with tempfile.TemporaryDirectory() as state:
        for _ in range(options.pairs):
            for policy, found in results.items():
                found.append(run(policy, state))
    for name in results["plain"][0]:
        plain, observe, invert = (
            statistics.median(one[name] for one in results[policy])
            for policy in results)
        print(f"{name:20} plain {plain:8.0f} ns, observe {observe - plain:+.0f}"
              f", invert {invert - plain:+.0f}")


if __name__ == "__main__":
    main()
