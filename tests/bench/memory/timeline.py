"""How long curves of single changes of device memory take over a long run,
through the real socket, and what the changes take in the database. The run is
that of a model of a thousand layers, all of whose changes are told.

usage: timeline.py BUILD_DIR [--events N] [--rounds N]
"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time

import numpy

LAYERS = 1000
NONE = 0xffffffff
RECORD = numpy.dtype([
    ("time_ns", "<u8"), ("address", "<u8"), ("bytes", "<i8"), ("scope", "<u4"),
    ("site", "<u4"), ("step", "<u4"), ("kind", "u1"), ("category", "u1"),
    ("device", "i1"), ("more", "u1")])
ALLOC, FREE, COMPLETED, LABEL = 8, 9, 16, 22  # EventKind of proto/codes.h
GRADIENT, ACTIVATION, TEMPORARY = 2, 4, 7  # MemoryCategory


def one_step(random):
    """Records of a step without its times: forward, backward, and all that it
    made is gone at its end."""
    records = []

    def add(kind, address, size, scope, category, site=NONE, more=0):
        records.append((0, address, size, scope, site, 0, kind, category, 0,
                        more))

    held = []
    for layer in range(LAYERS):
        for site in 2 * layer, 2 * layer + 1:
            address, size = (int(random.integers(1, 1 << 31)) << 9,
                             int(random.integers(1 << 10, 1 << 24)))
            add(ALLOC, address, size, layer, TEMPORARY)
            add(LABEL, address, -size, layer, TEMPORARY, more=1)
            add(LABEL, address, size, layer, ACTIVATION, site)
            held.append((address, size, layer, site))
        add(ALLOC, address + 512, size // 2, layer, TEMPORARY)
        add(FREE, address + 512, -(size // 2), layer, TEMPORARY)
    for address, size, layer, site in reversed(held):
        add(ALLOC, address + 1024, size, NONE, TEMPORARY)
        add(FREE, address, -size, layer, ACTIVATION, site)
        add(FREE, address + 1024, -size, NONE, TEMPORARY)
    return numpy.array(records, RECORD)


def fill(relay, events):
    random = numpy.random.default_rng(1)
    steps = [one_step(random) for _ in range(16)]
    highest = max(int(numpy.cumsum(step["bytes"]).max()) for step in steps)
    now = sent = 0
    number = 0
    request = relay.batch()
    for layer in range(LAYERS):
        request.batch.scopes.add(id=layer, name=f"model.layers.{layer}")
    relay.send(request)
    while sent < events:
        records = steps[number % len(steps)].copy()
        gaps = random.integers(200, 20_000, len(records))
        records["time_ns"] = now + numpy.cumsum(gaps)
        now = int(records["time_ns"][-1])
        records["step"] = number
        request = relay.batch()
        request.batch.memory_records = records.tobytes()
        request.batch.memory_record_bytes = RECORD.itemsize
        request.batch.memory_before = sent
        relay.send(request)
        relay.wait_ack(relay.seq - 4)
        sent += len(records)
        number += 1
    relay.wait_ack()
    return sent, number, highest


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    os.environ["INVACT_BIN_DIR"] = str(given.build / "bin")
    root = pathlib.Path(__file__).resolve().parents[3]
    sys.path.insert(0, str(root / "tests/integration/daemon"))
    from support import Daemon, Relay

    assert RECORD.itemsize == 40
    with tempfile.TemporaryDirectory(prefix="ivc", dir="/tmp") as folder:
        daemon = Daemon(folder)
        client = daemon.client()
        relay = Relay(client, timeout=3600)
        relay.welcome()
        began = time.monotonic()
        events, steps, highest = fill(relay, given.events)
        took = time.monotonic() - began
        size = client.call("GetDaemonStatus").used_bytes
        print(f"{events} changes in {steps} steps stored in {took:.1f} s, "
              f"{size / events:.1f} bytes a change")
        middle = steps // 2
        for name, fields in [
                ("all", {}), ("one category", dict(category="activation")),
                ("reserved", dict(category="reserved")),
                ("one layer", dict(layer="model.layers.500")),
                ("a layer's category", dict(layer="model.layers.500",
                                            category="activation")),
                ("10,000 buckets", dict(curve_buckets=10_000)),
                ("100 steps", dict(first_step=middle, until_step=middle + 99)),
                ("100 steps of a layer", dict(
                    first_step=middle, until_step=middle + 99,
                    layer="model.layers.500")),
                ("1 step", dict(first_step=middle, until_step=middle))]:
            times = []
            for _ in range(given.rounds):
                began = time.monotonic()
                answer = client.call("QueryTimeline", timeout=60, run=relay.id,
                                     changes=True,
                                     **{"curve_buckets": 1000, **fields})
                times.append((time.monotonic() - began) * 1000)
            buckets = answer.curves[0].buckets
            if name == "all":
                assert max(one.max_bytes for one in buckets) == highest
                assert buckets[-1].last_bytes == 0
                assert sum(one.events for one in buckets) == events
            print(f"{name}: {len(buckets)} buckets, "
                  f"median {statistics.median(times):.0f} ms, "
                  f"slowest {max(times):.0f} ms")
        daemon.stop()


if __name__ == "__main__":
    main()
