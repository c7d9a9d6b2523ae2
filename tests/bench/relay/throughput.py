"""Records a second through ring, relay and daemon to COMMIT, and the relay's
memory while it happens.

Writers offer records at a fixed rate; what the rings had to drop is counted.
All processes share the given cores.

usage: throughput.py BUILD_DIR [--cores 0,1] [--seconds 10] [--rate 600000]
                     [--writers 4]
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--cores", default="0,1")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=600_000,
                        help="records a second, of all writers")
    parser.add_argument("--writers", type=int, default=4)
    return parser.parse_args()


def measure(options, folder):
    import jobs  # finds the build by INVACT_BIN_DIR
    daemon = jobs.Daemon(folder, start=False)
    job = None
    try:
        daemon.start()
        job = jobs.Job(folder, threads=options.writers,
                       rate=options.rate // options.writers)
        jobs.wait_for(lambda: jobs.sequence(daemon, job.id))
        began, before = time.monotonic(), jobs.cpu_ns(job.relay)
        most_memory = 0
        while time.monotonic() - began < options.seconds:
            time.sleep(0.1)
            most_memory = max(most_memory, jobs.memory_kib(job.relay))
        relay_cpu = (jobs.cpu_ns(job.relay) - before) / 1e9 / (
            time.monotonic() - began)
        anonymous = jobs.memory_kib(job.relay, "RssAnon")
        high_water = jobs.memory_kib(job.relay, "VmHWM")
        job.finish()
        jobs.wait_end(daemon, job.id, 60)
        stored, begin_ns, end_ns = daemon.rows(
            "SELECT SUM(events), MIN(wall_ns), MAX(stored_ns) FROM batches_v1 "
            "WHERE run_id = ?", job.id)[0]
        offered, dropped = job.progress()[2:4]
        jobs.check_whole(daemon, job)
        return {
            "offered_per_second": round(
                offered / ((end_ns - begin_ns) / 1e9)),
            "committed_per_second": round(
                stored / ((end_ns - begin_ns) / 1e9)),
            "dropped_fraction": round(dropped / offered, 4),
            "committed_records": stored,
            "relay_cpu_cores": round(relay_cpu, 3),
            "relay_rss_peak_kib": high_water,
            "relay_rss_anonymous_kib": anonymous,
            "daemon_rss_kib": jobs.memory_kib(daemon.process.pid),
            "slowest_push_ns": job.progress()[4],
        }
    finally:
        if job is not None:
            job.close()
        daemon.close()


def main():
    options = arguments()
    os.environ["INVACT_BIN_DIR"] = str((options.build / "bin").resolve())
    os.sched_setaffinity(0, {int(core) for core in options.cores.split(",")})
    root = pathlib.Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root / "integration" / "relay"))
    with tempfile.TemporaryDirectory(prefix="ivb", dir="/tmp") as folder:
        print(json.dumps(measure(options, pathlib.Path(folder)), indent=2))


if __name__ == "__main__":
    main()
