"""Recorded events of device memory through the account, the rings, the relay,
the daemon and its database, against a recount of the file by event_truth.py:
equal to the byte. Takes each *.invmem of tests/data, recorded on a GPU, and
some of a job that never was."""

import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "relay"))

import event_truth  # noqa: E402
import jobs  # noqa: E402

TOOLS = jobs.BIN.parent / "tests"
RECORDED = sorted((HERE.parents[1] / "data").glob("*.invmem"))
MADE = [("made-1", 1, 4), ("made-2", 2, 9), ("made-3", 3, 1)]  # seed, steps
MOMENT = [*(f"{name}_bytes" for name in event_truth.CATEGORIES),
          "awaiting_bytes", "reserved_bytes", "torch_allocated_bytes",
          "torch_requested_bytes", "torch_reserved_bytes"]


class Replayed:
    """A file, its truth, and the run that it became."""

    def __init__(self, path, folder, daemon):
        self.path, self.daemon = path, daemon
        self.devices, self.names = event_truth.count(path)
        done = subprocess.run(
            [TOOLS / "invact_replay_run", path, jobs.RELAY],
            env={"PATH": os.environ["PATH"], "HOME": str(folder),
                 "INVACT_STATE_DIR": str(folder / "state"),
                 "INVACT_SPOOL_DIR": str(folder / "spool"),
                 "INVACT_DAEMON": f"unix:{folder}/d.sock"},
            capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        self.id = done.stdout.strip()
        self.end = jobs.wait_end(daemon, self.id)


@pytest.fixture(scope="module")
def daemon():
    with tempfile.TemporaryDirectory(prefix="ivm", dir="/tmp") as folder:
        daemon = jobs.Daemon(pathlib.Path(folder), start=False)
        daemon.start()
        yield daemon, pathlib.Path(folder)
        daemon.close()


@pytest.fixture(scope="module", params=[*RECORDED, *MADE],
                ids=lambda p: p[0] if isinstance(p, tuple) else p.stem)
def replayed(request, daemon):
    daemon, folder = daemon
    path = request.param
    if isinstance(path, tuple):
        name, seed, steps = path
        path = folder / f"{name}.invmem"
        subprocess.run([TOOLS / "invact_make_events", path, str(seed),
                        str(steps)], check=True, timeout=60)
    return Replayed(path, folder, daemon)


def stored(replayed, sql, *more):
    return replayed.daemon.rows(sql, replayed.id, *more)


def test_every_step_of_every_device_is_stored(replayed):
    assert (replayed.end["state"], replayed.end["events_dropped"]) == (
        "finished", 0)
    expected = sorted(
        (row["step"], device, 1, row["begin_ns"], row["peak"],
         row["peak_phase"], row["moments"]["peak"]["time"],
         row["moments"]["peak"]["reserved"], row["most_reserved"],
         row["allocations"], row["frees"], row["out_of_memory"])
        for device, truth in replayed.devices.items() for row in truth.rows)

    found = stored(
        replayed, "SELECT step, device, complete, begin_ns, peak_bytes, "
        "peak_phase, peak_ns, reserved_at_peak_bytes, most_reserved_bytes, "
        "allocations, frees, out_of_memory FROM memory_steps_v1 "
        "WHERE run_id = ? ORDER BY step, device")

    assert found == expected
    assert len(found) > len(replayed.devices)


def test_every_moment_has_the_bytes_of_the_recount(replayed):
    for device, truth in replayed.devices.items():
        for row in truth.rows:
            found = {name: rest for name, *rest in stored(
                replayed, f"SELECT moment, time_ns, {', '.join(MOMENT)} "
                "FROM memory_moments_v1 WHERE run_id = ? AND step = ? "
                "AND device = ? AND moment <> 'oom'", row["step"], device)}
            assert found == {name: list(moment.values())
                             for name, moment in row["moments"].items()}


def test_sums_reconcile_with_torchs_own_numbers(replayed):
    found = stored(
        replayed, "SELECT bytes, awaiting_bytes, rounding_bytes, "
        "reserved_bytes, torch_allocated_bytes, torch_requested_bytes, "
        "torch_reserved_bytes FROM memory_moments_v1 WHERE run_id = ? "
        "AND torch_allocated_bytes IS NOT NULL")
    assert found
    for (live, awaiting, rounding, reserved, allocated, requested,
         torch_reserved) in found:
        assert live + awaiting == requested
        assert live + rounding == allocated and rounding >= 0
        assert reserved == torch_reserved


def holders_of(replayed, device, step, moment):
    return stored(
        replayed, "SELECT name, op, category, bytes FROM memory_holders_v1 "
        "WHERE run_id = ? AND device = ? AND step = ? AND moment = ? "
        "ORDER BY n", device, step, moment)


def check_holders(replayed, found, truth):
    """`found` are the largest of `truth`, which many may share a size with."""
    named = {}
    for (scope, site, category), size in truth.items():
        name = None if scope is None else replayed.names.get(
            scope, f"scope{scope}")
        op = None if site is None else f"Op{site}Backward0"
        named[name, op, category] = size
    assert [size for *_, size in found] == sorted(
        truth.values(), reverse=True)[:event_truth.MOST_HOLDERS]
    for name, op, category, size in found:
        assert named.pop((name, op, category)) == size


def test_holders_of_each_peak_are_the_largest_of_the_recount(replayed):
    for device, truth in replayed.devices.items():
        for row in truth.rows:
            check_holders(replayed,
                          holders_of(replayed, device, row["step"], "peak"),
                          row["holders"])


def test_an_out_of_memory_is_kept_with_what_was_alive(replayed):
    for device, truth in replayed.devices.items():
        failure = truth.failure
        found = stored(
            replayed, "SELECT f.step, f.phase, f.asked_bytes, "
            "f.device_free_bytes FROM memory_failures AS f JOIN runs AS r "
            "ON r.pk = f.run WHERE r.id = ? AND f.device = ?", device)
        if failure is None:
            assert found == []
            continue
        assert found == [(failure["step"], failure["phase"], failure["asked"],
                          failure["free"])]
        assert stored(
            replayed, f"SELECT time_ns, {', '.join(MOMENT)} FROM "
            "memory_moments_v1 WHERE run_id = ? AND device = ? "
            "AND moment = 'oom'", device) == [tuple(failure["at"].values())]
        check_holders(
            replayed, holders_of(replayed, device, failure["step"], "oom"),
            failure["holders"])
