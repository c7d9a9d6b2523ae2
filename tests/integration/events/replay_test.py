"""Recorded events of device memory through the account, the rings, the relay,
the daemon and its database, against a recount of the file by event_truth.py:
equal to the byte. Takes each *.invmem of tests/data, recorded on a GPU, and
some of a job that never was."""

import csv
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import grpc
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
        self.path, self.daemon, self.folder = path, daemon, folder
        self.devices, self.names = event_truth.count(path)
        self.id = self.run(
            TOOLS / "invact_replay_run", path, jobs.RELAY).strip()
        self.end = jobs.wait_end(daemon, self.id)

    def run(self, *command):
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder),
                 "INVACT_STATE_DIR": str(self.folder / "state"),
                 "INVACT_SPOOL_DIR": str(self.folder / "spool"),
                 "INVACT_DAEMON": f"unix:{self.folder}/d.sock"})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def invact(self, verb, *options):
        return self.run(jobs.BIN / "invact", verb, self.id, *options)


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


def check_moment(shown, moment):
    """A moment of a report's JSON is that of the recount, and adds up."""
    assert shown["by_category"] == {
        name: moment[name] for name in event_truth.CATEGORIES}
    assert shown["bytes"] == sum(shown["by_category"].values())
    assert shown["awaiting_bytes"] == moment["awaiting"]
    assert shown["requested_bytes"] == shown["bytes"] + moment["awaiting"]
    assert (shown["reserved_bytes"], shown["allocated_bytes"]) == (
        moment["reserved"], moment["allocated"])
    if moment["allocated"] is None:
        assert shown["rounding_bytes"] is shown["unused_bytes"] is None
    else:
        assert (shown["bytes"] + shown["rounding_bytes"]
                == shown["reserved_bytes"] - shown["unused_bytes"]
                == moment["allocated"])


def check_step(shown, row):
    assert (shown["step_index"], shown["peak_phase"], shown["source"]) == (
        row["step"], row["peak_phase"], "measured")
    for name in ("begin", "backward", "end", "peak"):
        if name in row["moments"]:
            check_moment(shown[name], row["moments"][name])
        else:
            assert shown[name] is None
    assert shown["most_reserved_bytes"] == row["most_reserved"]


def test_the_report_tells_the_highest_peak_and_its_step(replayed):
    report = json.loads(replayed.invact("report", "--json"))

    shown = {one["device"]: one for one in report["memory"]["devices"]}
    assert sorted(shown) == sorted(replayed.devices)
    for device, truth in replayed.devices.items():
        highest = max(truth.rows, key=lambda row: (row["peak"], -row["step"]))
        check_step(shown[device]["highest"], highest)
        assert [one["bytes"] for one in shown[device]["highest"]["holders"]] == (
            sorted(highest["holders"].values(), reverse=True)
            [:event_truth.MOST_HOLDERS])
        of_step = next(row for row in truth.rows
                       if row["step"] == report["step"]["index"])
        check_step(shown[device]["step"], of_step)
        failure = shown[device]["out_of_memory"]
        assert (failure is None) == (truth.failure is None)
        if failure:
            assert failure["asked_bytes"] == truth.failure["asked"]
            check_moment(failure["at"], truth.failure["at"])


def test_people_read_the_same_in_text_and_markdown(replayed):
    text = replayed.invact("report")
    markdown = replayed.invact("report", "--format", "md")

    for out in text, markdown:
        assert "Device memory" in out and "(measured)" in out
        for device, truth in replayed.devices.items():
            assert f"device {device}: peak of " in " ".join(out.split())
            if truth.failure:
                assert "out of memory" in out
    assert "largest at the highest peak" in text


def test_exports_hold_every_step_and_device(replayed):
    exported = json.loads(replayed.invact("export"))["memory"]
    lines = list(csv.DictReader(io.StringIO(
        replayed.invact("export", "--format", "csv"))))

    truth = {(row["step"], device): row
             for device, one in replayed.devices.items() for row in one.rows}
    shown = {(one["step_index"], one["device"]): one for one in exported}
    assert len(shown) == len(exported) and sorted(shown) == sorted(truth)
    for key, row in truth.items():
        check_step(shown[key], row)
    assert lines
    for line in lines:
        row = truth[int(line["index"]), int(line["memory_device"])]
        peak = row["moments"]["peak"]
        assert int(line["memory_peak_bytes"]) == row["peak"] == sum(
            int(line[f"memory_peak_{name}_bytes"])
            for name in event_truth.CATEGORIES)
        assert int(line["memory_peak_reserved_bytes"]) == peak["reserved"]
        assert int(line["memory_end_bytes"]) == sum(
            row["moments"]["end"][name] for name in event_truth.CATEGORIES)


def values(row, category):
    """Of the step's moments: when, and how many bytes."""
    return [(moment["time"], moment[category] if category else sum(
        moment[name] for name in event_truth.CATEGORIES))
        for moment in row["moments"].values()]


@pytest.mark.parametrize("category", ["", "activation", "temporary"])
@pytest.mark.parametrize("buckets", [1, 3, 10000])
def test_curves_keep_the_least_and_the_most_of_every_step(
        replayed, buckets, category):
    answer = replayed.daemon.client().call(
        "QueryTimeline", run=replayed.id, curve_buckets=buckets,
        category=category)

    assert not answer.steps and not answer.memory_steps
    assert [curve.device for curve in answer.curves] == sorted(replayed.devices)
    for curve in answer.curves:
        rows = {row["step"]: values(row, category)
                for row in replayed.devices[curve.device].rows}
        assert 0 < len(curve.buckets) <= buckets
        steps = []
        for bucket in curve.buckets:
            mine = [step for step in rows
                    if bucket.first_step <= step <= bucket.last_step]
            moments = [one for step in mine for one in rows[step]]
            assert (bucket.min_bytes, bucket.max_bytes) == (
                min(size for _, size in moments),
                max(size for _, size in moments))
            assert bucket.last_bytes in {
                size for when, size in moments if when == bucket.end_ns}
            assert (bucket.begin_ns, bucket.end_ns) == (
                min(moments)[0], max(moments)[0])
            assert bucket.max_bytes in [size for _, size
                                        in rows[bucket.max_step]]
            steps += mine
        assert steps == sorted(rows)
        if buckets == 10000:
            assert len(curve.buckets) == len(rows)


def test_curves_of_one_device_and_a_range_of_steps(replayed):
    client = replayed.daemon.client()
    last = max(row["step"] for row in replayed.devices[0].rows)
    answer = client.call("QueryTimeline", run=replayed.id, curve_buckets=5,
                         device=0, first_step=last, last_step=last)
    assert [curve.device for curve in answer.curves] == [0]
    # From step 0 on means with all that was before it.
    assert [(one.first_step, one.last_step)
            for one in answer.curves[0].buckets] == [
                (step, step) for step in ([-1, 0] if last == 0 else [last])]
    for wrong in dict(curve_buckets=10001), dict(curve_buckets=5,
                                                 category="gpu"):
        with pytest.raises(grpc.RpcError) as error:
            client.call("QueryTimeline", run=replayed.id, **wrong)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT


class Moments:
    """What was alive on one device after each event that changed it, by the
    recount: all, reserved, each category, and what the layer and the call site
    with most at the highest peak had."""

    def __init__(self, replayed, number):
        highest = max(replayed.devices[number].rows, key=lambda row: row["peak"])
        holders = highest["holders"].most_common()
        self.scope = next((scope for (scope, _, _), _ in holders
                           if scope is not None), None)
        self.site = next((site for (_, site, _), _ in holders
                          if site is not None), None)
        self.by_step = {}
        self.baselines = []  # the step of each event of a snapshot's begin
        device = event_truth.Device()
        before = None
        for event in event_truth.read(replayed.path)[0]:
            if event.device != number:
                continue
            device.event(event)
            now = self.values(device)
            if now != before or event.kind in ("alloc", "free"):
                self.by_step.setdefault(event.step, []).append(now)
            if event.kind == "baseline_begin":
                self.baselines.append(event.step)
            before = now

    def values(self, device):
        out = device.by_category()
        out[""] = sum(out.values())
        out["reserved"] = device.reserved
        out["none"] = sum(size for (scope, _, _), size
                          in device.holders().items() if scope is None)
        out["layer"] = sum(size for (scope, _, _), size
                           in device.holders().items() if scope == self.scope)
        out["site"] = sum(size for (_, site, _), size
                          in device.holders().items() if site == self.site)
        return out

    def fields(self, replayed):
        """What a request of each value has."""
        out = {name: dict(category=name)
               for name in ["", "reserved", *event_truth.CATEGORIES]}
        out["none"] = dict(no_layer=True)
        if self.scope is not None:
            out["layer"] = dict(layer=replayed.names.get(
                self.scope, f"scope{self.scope}"))
        return out


def test_changes_in_the_store_are_those_of_the_recount(replayed):
    client = replayed.daemon.client()
    every = {number: Moments(replayed, number) for number in replayed.devices}
    corrected = any(len(one.baselines) > 1 for one in every.values())
    for number, moments in every.items():
        assert moments.by_step
        for name, fields in moments.fields(replayed).items():
            for step, values in moments.by_step.items():
                answer = client.call(
                    "QueryTimeline", run=replayed.id, curve_buckets=1,
                    changes=True, device=number, first_step=step,
                    until_step=step, **fields)
                bucket, = answer.curves[0].buckets
                bytes_ = [value[name] for value in values]
                where = (name, step, number)
                assert bucket.last_bytes == bytes_[-1], where
                # A snapshot is told in another order than the file has it, and
                # a later one says that something was missed.
                if step not in moments.baselines[1:]:
                    assert bucket.max_bytes == max(bytes_), where
                if step not in moments.baselines:
                    assert bucket.min_bytes == min(bytes_), where
                assert bucket.lost == 0
                assert corrected or not bucket.gap, where


def test_the_site_that_saved_most_has_a_curve_of_its_own(replayed):
    client = replayed.daemon.client()
    for number in replayed.devices:
        moments = Moments(replayed, number)
        if moments.site is None:
            continue
        (name, ordinal), = stored(
            replayed, "SELECT c.name, s.pack_ordinal FROM sites AS s JOIN "
            "scopes AS c ON c.run = s.run AND c.id = s.scope JOIN runs AS r "
            "ON r.pk = s.run WHERE r.id = ? AND s.id = ?", moments.site)
        same = stored(
            replayed, "SELECT COUNT(*) FROM sites AS s JOIN scopes AS c ON "
            "c.run = s.run AND c.id = s.scope JOIN runs AS r ON r.pk = s.run "
            "WHERE r.id = ? AND c.name = ? AND s.pack_ordinal = ?", name,
            ordinal)
        if same != [(1,)]:
            continue  # replay_run numbers them so that two may share one
        answer = client.call(
            "QueryTimeline", run=replayed.id, curve_buckets=1, changes=True,
            device=number, layer=name, ordinal=ordinal)
        bucket, = answer.curves[0].buckets
        truth = [value["site"] for values in moments.by_step.values()
                 for value in values]
        assert bucket.last_bytes == truth[-1]
        if len(moments.baselines) < 2:
            assert bucket.max_bytes == max(truth)


def test_the_timeline_shows_the_highest_peak_of_all_changes(replayed):
    shown = json.loads(replayed.invact("timeline", "--json"))
    text = replayed.invact("timeline")

    assert [one["device"] for one in shown["devices"]] == sorted(
        replayed.devices)
    for one in shown["devices"]:
        truth = replayed.devices[one["device"]]
        # Peaks of snapshots are no step's: all events count here.
        peak = max(row["peak"] for row in truth.rows)
        assert max(bucket["max_bytes"] for bucket in one["buckets"]) >= peak
        assert f"Device {one['device']}, memory alive after each of " in text
    events, = stored(
        replayed, "SELECT SUM(memory_events), MIN(memory_events_kept) FROM "
        "batches_v1 WHERE run_id = ? AND memory_events > 0")
    assert events[0] > 0 and events[1] == 1
