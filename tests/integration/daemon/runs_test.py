"""What a client finds that knows nothing but what reflection tells it."""

import queue
import threading

import grpc
import pytest
from google.protobuf import json_format
from rich_errors import error_info
from support import Relay, wait_for


def ended_run(client, steps=3, layers=3, **fields):
    relay = Relay(client, **fields)
    relay.welcome()
    for step in range(steps):
        relay.send_step(
            step, layers=layers, records=4,
            end=("finished", "exit") if step == steps - 1 else None)
    relay.wait_ack()
    relay.finish()
    return relay


def refused(call, *args, **fields):
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **fields)
    return caught.value


def test_reflection_and_health_name_the_services(daemon):
    client = daemon.client()
    assert {"invact.v1.RunService", "invact.v1.IngestService",
            "grpc.health.v1.Health"} <= set(client.db.get_services())
    for name in ("ListRuns", "GetRun", "GetReport", "ListLayers",
                 "ListKernels", "QueryTimeline", "CompareRuns", "WatchRun"):
        assert client.method("RunService", name)
    check = client.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"", timeout=5) == b"\x08\x01"  # SERVING


def test_kernels_are_read_as_they_were_told(daemon):
    client = daemon.client()
    told = dict(op="aten::gelu", dtype="bfloat16", device="cuda:0",
                library="built-in", served=True, side_bits=1, stated_max=0.5,
                floor_rms=0.25)
    relay = ended_run(client, steps=1, kernels=[told])

    reply = client.call("ListKernels", run=relay.id)

    assert reply.run.id == relay.id and reply.why_none == ""
    kernel, = reply.kernels
    assert kernel == client.message("KernelCalibration")(**told)
    assert not kernel.HasField("error_max")
    other = ended_run(client, steps=1)
    assert client.call("ListKernels", run=other.id).why_none


def test_runs_are_listed_newest_first_and_by_pages(daemon):
    client = daemon.client()
    runs = [ended_run(client, steps=1, started=1000 + i,
                      job_id=f"job{i % 2}") for i in range(5)]
    ids = [run.id for run in reversed(runs)]

    assert [r.id for r in client.call("ListRuns").runs] == ids
    seen, token = [], ""
    while True:
        page = client.call("ListRuns", page_size=2, page_token=token)
        assert len(page.runs) <= 2
        seen += [r.id for r in page.runs]
        token = page.next_page_token
        if not token:
            break
    assert seen == ids
    assert [r.id for r in client.call("ListRuns", job_id="job1").runs] == (
        [runs[3].id, runs[1].id])
    assert len(client.call("ListRuns", state="running").runs) == 0
    assert [r.id for r in client.call("ListRuns", selector="job1").runs] == (
        [runs[3].id, runs[1].id])


def test_a_report_adds_up_and_its_layers_come_by_pages(daemon):
    client = daemon.client()
    run = ended_run(client, layers=7)
    total = sum(1000 * i for i in range(1, 8))

    report = client.call("GetReport", run=run.id)

    assert report.schema == "invact.report/v1"
    assert report.run.id == run.id and report.run.state == "finished"
    assert (report.step.index, report.step.complete) == (2, True)
    assert report.saved.baseline_bytes == total
    assert report.saved.eliminated_bytes == total * 4 // 10
    assert dict(report.saved.by_action)["invert"] == total * 4 // 10
    assert len(report.layers) == 7
    assert sum(l.baseline_bytes for l in report.layers) == total
    layers, token, pages = [], "", 0
    while True:
        page = client.call("ListLayers", run=run.id, page_size=3,
                           page_token=token)
        layers += page.layers
        pages += 1
        token = page.next_page_token
        if not token:
            break
    assert pages == 3
    assert layers == list(report.layers)
    assert {l.name for l in layers} == {
        f"model.layers.{i}" for i in range(1, 8)}


def test_a_page_of_another_step_is_not_passed_off_as_the_same(daemon):
    client = daemon.client()
    relay = Relay(client)
    relay.welcome()
    relay.send_step(0, layers=4)
    relay.wait_ack()
    page = client.call("ListLayers", run=relay.id, page_size=2)
    relay.send_step(1, layers=4)
    relay.wait_ack()

    error = refused(client.call, "ListLayers", run=relay.id, page_size=2,
                    page_token=page.next_page_token)

    assert error.code() == grpc.StatusCode.ABORTED
    assert "from step 0 to step 1" in error.details()


def test_runs_are_compared_in_the_order_asked_for(daemon):
    client = daemon.client()
    small, large = ended_run(client, layers=2), ended_run(client, layers=4)
    reports = client.call("CompareRuns", runs=[large.id, small.id]).reports
    assert [r.run.id for r in reports] == [large.id, small.id]
    assert [r.saved.baseline_bytes for r in reports] == [10000, 3000]


def test_a_job_means_its_rank_with_the_highest_peak(daemon):
    client = daemon.client()
    low = Relay(client, job_id="pair", rank=0, world_size=2)
    high = Relay(client, job_id="pair", rank=1, world_size=2)
    for relay, peak in ((low, 1), (high, 5 << 20)):
        relay.welcome()
        request = relay.batch()
        request.batch.steps.add(index=0, phase="done", complete=True,
                                peak_allocated_bytes=peak)
        relay.send(request)
        relay.wait_ack()
    assert client.call("GetRun", run="pair").id == high.id
    assert client.call("GetRun", run="pair", rank=0).id == low.id
    assert client.call("GetRun", run=high.id, rank=0).id == low.id
    error = refused(client.call, "GetRun", run="pair", rank=7)
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert "0, 1" in error_info(error)[2]


def test_the_timeline_has_steps_and_then_events(daemon):
    client = daemon.client()
    run = ended_run(client, steps=5)
    steps, events, token = [], [], ""
    while True:
        page = client.call("QueryTimeline", run=run.id, first_step=1,
                           last_step=3, events=True, page_size=2,
                           page_token=token)
        steps += [s.index for s in page.steps]
        events += [(e.step, e.kind) for e in page.events]
        token = page.next_page_token
        if not token:
            break
    assert steps == [1, 2, 3]
    assert events == [(s, "save") for s in (1, 2, 3) for _ in range(4)]


def test_a_live_run_is_followed_to_its_end_and_slow_readers_hold_nobody_up(
        daemon):
    client = daemon.client()
    relay = Relay(client)
    relay.welcome()
    slow = [daemon.client().watch(run=relay.id) for _ in range(3)]
    for stream in slow:
        next(stream)  # and reads no more
    seen = queue.Queue()
    thread = threading.Thread(
        target=lambda: [seen.put(m) for m in client.watch(run=relay.id)])
    thread.start()
    assert seen.get(timeout=10).run.state == "running"

    for step in range(3):
        relay.send_step(step)
        relay.wait_ack()
        while seen.get(timeout=10).step.index != step:
            pass
    relay.send_step(3, end=("crashed", "signal"))

    last = seen.get(timeout=10)
    while last.run.state == "running":
        last = seen.get(timeout=10)
    assert (last.run.state, last.run.end_reason) == ("crashed", "signal")
    assert last.step.index == 3
    thread.join(10)
    assert not thread.is_alive()
    for stream in slow:
        assert list(stream)[-1].run.state == "crashed"


@pytest.mark.parametrize("method,fields,code,text,next_text", [
    ("GetReport", dict(run="nosuchrun"), "NOT_FOUND",
     'no run matches "nosuchrun"', "invact ls"),
    ("GetReport", dict(run="twin"), "INVALID_ARGUMENT",
     '"twin" matches 2 runs', "give more of the id"),
    ("GetReport", dict(run="train.py", step="soon"), "INVALID_ARGUMENT",
     "soon", None),
    ("GetReport", dict(run="only", step="99"), "NOT_FOUND",
     "step 99", "--step last"),
    ("GetReport", dict(run="empty"), "FAILED_PRECONDITION",
     "stored yet", "invact watch"),
    ("ListLayers", dict(run="only", page_token="x"), "INVALID_ARGUMENT",
     "page_token", "next_page_token"),
    ("ListRuns", dict(page_size=-1), "INVALID_ARGUMENT", "page_size",
     "1 to 1000"),
    ("CompareRuns", dict(runs=["only"]), "INVALID_ARGUMENT",
     "1 runs to compare", "name 2 to 64"),
    ("GetRun", dict(run="n" * 600), "INVALID_ARGUMENT", "too long",
     "invact ls"),
])
def test_an_error_says_what_and_what_to_do_next(daemon, method, fields, code,
                                                text, next_text):
    client = daemon.client()
    for name in ("twin", "twin", "only"):
        ended_run(client, steps=1, name=name)
    Relay(client, name="empty").welcome()

    error = refused(client.call, method, **fields)

    assert error.code().name == code
    message, reason, help_text = error_info(error)
    assert text in message and reason == code
    if next_text:
        assert next_text in help_text


def test_exits_and_deletions_reach_the_database(daemon):
    client = daemon.client()
    relay = Relay(client, job_id="j", pid=99)
    relay.welcome()
    relay.send_step(0)
    relay.wait_ack()
    error = refused(client.call, "DeleteRuns", runs=[relay.id])
    assert "still running" in error.details()

    assert client.call("RecordExit", job_id="j", pid=99, signal=9).runs == 1

    run = client.call("GetRun", run=relay.id)
    assert (run.state, run.end_reason, run.signal) == ("crashed", "signal", 9)
    assert client.call("DeleteRuns", runs=[relay.id]).deleted == 1
    assert len(client.call("ListRuns").runs) == 0


def test_daemon_status_has_the_numbers(daemon):
    client = daemon.client()
    ended_run(client)
    open_stream = Relay(client)
    open_stream.welcome()
    Relay(client, major=9).end()

    status = client.call("GetDaemonStatus")

    assert status.pid == daemon.process.pid
    assert status.database_path == str(daemon.database)
    assert status.listeners == [f"unix:{daemon.socket}"]
    assert (status.runs, status.streams) == (2, 1)
    assert status.batches_committed == 3
    assert status.rejected_messages == 1
    assert status.quota_bytes == 10 << 30
    assert 0 < status.used_bytes <= status.database_bytes
    assert status.rss_bytes > 1 << 20
    assert status.file_system and status.write_error == ""
    assert json_format.MessageToDict(status)["databaseVersion"] >= 1


def test_a_run_that_comes_by_name_prefix_or_last_is_the_same(daemon):
    client = daemon.client()
    run = ended_run(client, run_id="ab" * 8, name="mine", job_id="j7")
    for selector in (run.id, "abab", "mine", "j7", "@last", ""):
        assert client.call("GetRun", run=selector).id == run.id
    wait_for(lambda: client.call("GetDaemonStatus").streams == 0)
