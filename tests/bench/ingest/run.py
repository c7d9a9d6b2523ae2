"""How much invactd takes in, to COMMIT, through its real socket.

usage: run.py BUILD_DIR [--seconds N] [--cpus 0,1]

Each row is a fresh daemon on a fresh database (quota 10 GiB) that shares the
CPUs with the client. Records are 48 bytes. RSS and CPU are the daemon's own,
from /proc. The last line counts what is in the database: all that was
acknowledged must be.
"""

import argparse
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import tempfile
import time

LOADS = [(1, 512), (1, 4096), (1, 16384), (8, 512), (8, 4096), (64, 512),
         (256, 512)]
SETTLE_SECONDS = 7  # the daemon tidies up after 5 idle ones


def rss_mib(pid, field):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(build, folder):
    socket = folder / "d.sock"
    daemon = subprocess.Popen(
        [build / "bin/invactd", "--state-dir", folder / "state", "--socket",
         socket, "--spool-dir", folder / "spool"])
    deadline = time.monotonic() + 20
    while not socket.exists():
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("invactd did not start")
        time.sleep(0.05)
    return daemon, socket


def measure(build, streams, records, seconds):
    with tempfile.TemporaryDirectory(prefix="ivb", dir="/tmp") as name:
        folder = pathlib.Path(name)
        daemon, socket = start(build, folder)
        try:
            idle = rss_mib(daemon.pid, "VmRSS")
            before = cpu_seconds(daemon.pid)
            client = subprocess.run(
                [build / "tests/invact_ingest_load", f"unix:{socket}",
                 str(streams), str(records), str(seconds)],
                check=True, stdout=subprocess.PIPE, text=True)
            cpu = cpu_seconds(daemon.pid) - before
            peak = rss_mib(daemon.pid, "VmHWM")
            time.sleep(SETTLE_SECONDS)
            after = rss_mib(daemon.pid, "VmRSS")
        finally:
            daemon.send_signal(signal.SIGTERM)
            code = daemon.wait(20)
        assert code == 0, code
        result = json.loads(client.stdout)
        database = sqlite3.connect(folder / "state/invact.db")
        stored, = database.execute(
            "SELECT SUM(events) FROM batches_v1").fetchone()
        assert stored == result["records"], (stored, result)
        size = (folder / "state/invact.db").stat().st_size
        return result | {"cpu": cpu, "idle": idle, "peak": peak,
                         "after": after, "size": size / stored}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--cpus")
    args = parser.parse_args()
    if args.cpus:
        os.sched_setaffinity(0, {int(c) for c in args.cpus.split(",")})
    print(f"{len(os.sched_getaffinity(0))} CPUs for daemon and client, "
          f"{args.seconds} s a row")
    print("| streams | records a batch | records/s committed | daemon CPU s "
          "per million | ack p50 ms | ack p99 ms | RSS MiB at "
          "start, peak, idle again | bytes a record on disk |")
    print("|---|---|---|---|---|---|---|---|")
    for streams, records in LOADS:
        r = measure(args.build, streams, records, args.seconds)
        print(f"| {streams} | {records} | {r['records'] / r['seconds']:,.0f} "
              f"| {r['cpu'] / r['records'] * 1e6:.2f} "
              f"| {r['ack_ms_p50']:.1f} | {r['ack_ms_p99']:.1f} "
              f"| {r['idle']:.0f}, {r['peak']:.0f}, {r['after']:.0f} "
              f"| {r['size']:.1f} |",
              flush=True)


if __name__ == "__main__":
    main()
