"""What the preload adds to the start of a process: `python -c pass` (promised:
<= 1 ms) and `import torch` (<= 50 ms).

Runs with and without LD_PRELOAD in turn, which of the two first alternating,
and prints the median of the paired differences with an interval that covers it
in 95 of 100 cases, for wall time and for the process's own user + system time.

usage: bench_startup.py [--lib DIR] [--rounds N] [--torch-rounds N]
"""

import argparse
import os
import pathlib
import random
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
CASES = (("python -c pass", "pass", 1.0), ("import torch", "import torch", 50.0))


def run(code, preload):
    """(wall, CPU) seconds of one process, from its start to its end."""
    environment = {key: value for key, value in os.environ.items()
                   if key != "LD_PRELOAD" and not key.startswith("INVACT_")}
    if preload is not None:
        environment["LD_PRELOAD"] = str(preload)
    begin = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code],
                         environment)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - begin
    if status != 0:
        raise SystemExit(f"python -c {code!r} ended with {status}")
    return wall, usage.ru_utime + usage.ru_stime


def paired(code, preload, rounds):
    """Milliseconds (wall, CPU) that the preload added in each round, and those
    without it."""
    added, plain = [], []
    run(code, None), run(code, preload)  # files into memory
    for number in range(rounds):
        ways = (None, preload) if number % 2 == 0 else (preload, None)
        seconds = {way: run(code, way) for way in ways}
        plain.append([1e3 * one for one in seconds[None]])
        added.append([1e3 * (with_it - without) for with_it, without in
                      zip(seconds[preload], seconds[None])])
    return added, plain


def interval(values, seed=1):
    """Of the median, by drawing the rounds again 2,000 times."""
    draw = random.Random(seed)
    medians = sorted(statistics.median(draw.choices(values, k=len(values)))
                     for _ in range(2000))
    return medians[50], medians[-51]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--lib", type=pathlib.Path,
                        default=ROOT / "build" / "lib")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--torch-rounds", type=int, default=20)
    arguments = parser.parse_args()
    preload = arguments.lib / "libinvact.so"
    if not preload.exists():
        parser.error(f"no {preload}: build first, or give --lib")

    for (name, code, promised), rounds in zip(
            CASES, (arguments.rounds, arguments.torch_rounds)):
        added, plain = paired(code, preload, rounds)
        for index, clock in enumerate(("wall", "CPU")):
            values = [row[index] for row in added]
            low, high = interval(values)
            print(f"{name:15} {clock:4} without "
                  f"{statistics.median(row[index] for row in plain):8.2f} ms, "
                  f"with {statistics.median(values):+7.3f} ms "
                  f"[{low:+.3f}, {high:+.3f}] in {rounds} rounds "
                  f"(promised <= {promised:g} ms)")


if __name__ == "__main__":
    main()
