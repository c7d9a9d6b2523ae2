"""How long a curve of device memory takes over a long run, through the real
socket, and what its rows take in the database.

usage: curves.py BUILD_DIR [--steps N] [--rounds N]
"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time

STEPS_A_BATCH = 100
CATEGORIES = ["parameter", "gradient", "optimizer_state", "activation",
              "temporary", "other"]


def fill(relay, steps):
    for begin in range(0, steps, STEPS_A_BATCH):
        request = relay.batch()
        for step in range(begin, min(begin + STEPS_A_BATCH, steps)):
            row = request.batch.memory_steps.add(
                step=step, complete=True, peak_phase="backward")
            for place, moment in enumerate(
                    (row.begin, row.backward, row.end, row.peak)):
                moment.time_ns = step * 1000 + place
                for size, name in enumerate(CATEGORIES, 1):
                    moment.by_category[name] = size * (step % 977 + place) << 20
            for n in range(16):
                row.holders.add(category="activation", bytes=100 - n, scope=n)
        relay.send(request)
        relay.wait_ack(relay.seq - 8)
    relay.wait_ack()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    os.environ["INVACT_BIN_DIR"] = str(given.build / "bin")
    root = pathlib.Path(__file__).resolve().parents[3]
    sys.path.insert(0, str(root / "tests/integration/daemon"))
    from support import Daemon, Relay

    with tempfile.TemporaryDirectory(prefix="ivc", dir="/tmp") as folder:
        daemon = Daemon(folder)
        client = daemon.client()
        relay = Relay(client)
        relay.welcome()
        began = time.monotonic()
        fill(relay, given.steps)
        took = time.monotonic() - began
        size = client.call("GetDaemonStatus").used_bytes
        print(f"{given.steps} steps stored in {took:.1f} s, "
              f"{size / given.steps:.0f} bytes a step")
        for fields in (dict(), dict(category="activation"),
                       dict(first_step=given.steps // 2,
                            last_step=given.steps // 2 + 999)):
            times = []
            for _ in range(given.rounds):
                began = time.monotonic()
                answer = client.call("QueryTimeline", run=relay.id,
                                     curve_buckets=1000, **fields)
                times.append((time.monotonic() - began) * 1000)
            print(f"{fields}: {len(answer.curves[0].buckets)} buckets, "
                  f"median {statistics.median(times):.0f} ms, "
                  f"slowest {max(times):.0f} ms")
        daemon.stop()


if __name__ == "__main__":
    main()
