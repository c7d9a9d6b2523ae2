"""What a run found out about its kernels: from a calibration in the job, and
from a relay's word."""

import json
import sqlite3
import sys

import pytest

from place import Place, Relay, wait_for

GELU = {"op": "aten::gelu", "dtype": "bfloat16", "device": "cpu",
        "library": "built-in", "served": True, "side_bits": 1,
        "floor_max": 0.5, "floor_rms": 0.25, "stated_max": 0.75,
        "stated_rms": 0.375, "error_max": 0.625, "error_rms": 0.3125}
SNAKE = {"op": "mine::snake", "dtype": "float32", "device": "cpu",
         "library": "/opt/libmine.so", "reason": "CALIBRATION_FAILED",
         "detail": "NaN where eager has none"}

# Two are told of before the run begins, one of them again while it runs.
JOB = """
import ctypes
import torch
from torch import nn

with open("/proc/self/maps", encoding="utf-8") as maps:
    path, = {line.split()[-1] for line in maps if "libinvact-torch" in line}
plugin = ctypes.CDLL(path)


def note(op, unit, failed=b""):
    errors = (ctypes.c_double * 6)(*(unit * n for n in range(1, 7)))
    plugin.invact_note_kernel_for_test(
        op, b"float64", b"cpu", b"built-in", 1, errors, failed)


note(b"test::early", 0.5)
note(b"test::again", 0.5)
model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
for step in range(3):
    model(torch.randn(4, 8)).sum().backward()
    if step == 1:
        note(b"test::again", 0.25)
        note(b"test::late", float("nan"), b"not a number")
"""
FIELDS = ("stated_max", "stated_rms", "floor_max", "floor_rms", "error_max",
          "error_rms")


@pytest.fixture(scope="module")
def stored():
    place = Place()
    place.ok("daemon", "start")
    place.record(run_id="aaaa000000000001", name="first.py",
                 kernels=[SNAKE, GELU])
    place.record(run_id="aaaa000000000002", name="plain.py")
    place.record(run_id="cccc000000000001", name="seen.py", policy="observe")
    place.record(run_id="ffff000000000001", name="kept.py", action="keep")
    place.record(run_id="dddd000000000001", name="older.py", minor=0)
    for rank in range(2):
        place.record(run_id=f"bbbb00000000000{rank}", name="many.py",
                     job_id="big-job", rank=rank, world_size=2,
                     kernels=[{**GELU, "device": f"cuda:{rank}"}])
    yield place
    place.close()


def test_a_job_s_calibrations_reach_the_person_who_asks(shared):
    script = shared.folder / "job.py"
    script.write_text(JOB, encoding="utf-8")
    shared.ok("run", "--policy", "invert", "--name", "noted", "--",
              sys.executable, script, timeout=300)

    shown = shared.json("kernels", "noted")

    assert shown["schema"] == "invact.kernels/v1"
    assert shown["run"]["name"] == "noted" and shown["why_none"] is None
    ours = {k["op"]: k for k in shown["kernels"]
            if k["op"].startswith("test::")}
    for op, unit in ("test::early", 0.5), ("test::again", 0.25):
        assert [ours[op][f] for f in FIELDS] == [
            unit * n for n in range(1, 7)], op
        assert (ours[op]["served"], ours[op]["reason"]) == (True, None)
        assert (ours[op]["dtype"], ours[op]["device"], ours[op]["library"],
                ours[op]["side_bits"]) == ("float64", "cpu", "built-in", 1)
    late = ours["test::late"]
    assert [late[f] for f in FIELDS] == [None] * 6
    assert (late["served"], late["reason"], late["detail"]) == (
        False, "CALIBRATION_FAILED", "not a number")
    text = shared.ok("kernels", "noted")
    assert len([line for line in text.splitlines()
                if line.startswith("test::")]) == 3
    assert shared.json("export", "noted")["kernels"] == shown["kernels"]


def test_each_kernel_has_a_line_and_a_refused_one_says_what_to_do(stored):
    text = stored.ok("kernels", "first.py")
    lines = text.splitlines()
    gelu, = (line for line in lines if line.startswith("aten::gelu"))
    assert gelu.split() == [
        "aten::gelu", "bfloat16", "cpu", "1", "5.00e-1", "2.50e-1", "7.50e-1",
        "3.75e-1", "6.25e-1", "3.12e-1", "yes", "built-in"]
    snake, = (line for line in lines if line.startswith("mine::snake"))
    assert snake.split()[-2:] == ["no", "/opt/libmine.so"]
    assert "CALIBRATION_FAILED" in text and SNAKE["detail"] in text
    assert "leave it out of INVACT_KERNELS" in " ".join(text.split())

    shown = stored.json("kernels", "first.py")["kernels"]
    assert [k["op"] for k in shown] == ["aten::gelu", "mine::snake"]
    assert {key: shown[0][key] for key in GELU} == GELU
    assert shown[1]["error_max"] is None and shown[1]["side_bits"] is None
    assert shown[1]["next"]


@pytest.mark.parametrize("run, why", [
    ("seen.py", "policy observe inverts nothing"),
    ("older.py", "record it again"),
    ("plain.py", "does not calibrate"),
    ("kept.py", "invact report ffff0000")])
def test_a_run_without_kernels_says_why(stored, run, why):
    shown = stored.json("kernels", run)
    assert shown["kernels"] == []
    assert why in shown["why_none"]
    assert why in " ".join(stored.ok("kernels", run).split())


def test_a_run_that_goes_on_says_that_none_came_so_far(stored):
    relay = Relay(stored.client(), run_id="eeee000000000001", name="live.py",
                  started=1000)
    relay.welcome()
    relay.send_step(0, action="keep")
    relay.wait_ack()
    assert "so far" in stored.json("kernels", "live.py")["why_none"]
    request = relay.batch()
    request.batch.update.kernels.add(**GELU)
    request.batch.end.state, request.batch.end.end_reason = "finished", "exit"
    relay.send(request)
    relay.wait_ack()
    relay.finish()
    assert [k["op"] for k in stored.json("kernels", "live.py")["kernels"]] == [
        "aten::gelu"]


def test_the_newest_run_is_the_default_and_a_job_says_which_rank(stored):
    last = stored("kernels", "--json")
    run = json.loads(last.stdout)["run"]
    assert run["name"] == "many.py"
    assert f"rank {run['rank']} of job big-job (2 ranks)" in last.stderr
    for rank in 0, 1:
        other = stored("kernels", "big-job", "--rank", rank, "--json")
        assert other.stderr == ""
        kernel, = json.loads(other.stdout)["kernels"]
        assert kernel["device"] == f"cuda:{rank}"


def test_bad_names_end_as_with_the_other_verbs(stored):
    assert stored.error("kernels", "nowhere", code=3) == {
        "code": "not_found", "message": 'no run matches "nowhere"',
        "next": "see what there is with: invact ls"}
    error = stored.error("kernels", "aaaa", code=2)
    assert "aaaa000000000001" in error["message"]
    assert "0, 1" in stored.error("kernels", "big-job", "--rank", "7",
                                  code=3)["next"]


def test_texts_of_a_job_cannot_write_to_the_terminal(stored):
    stored.record(run_id="9999000000000001", name="a\033[31m.py", started=500,
                  kernels=[{**SNAKE, "op": "a\033[31m\nb\a",
                            "detail": "\033]0;x\a"}])
    out = stored.ok("kernels", "9999")
    assert "\033" not in out and "\a" not in out


def test_a_removed_run_s_kernels_go_with_it(place):
    place.ok("daemon", "start")
    place.record(name="gone.py", kernels=[GELU])
    place.record(name="kept.py", kernels=[SNAKE])

    place.ok("rm", "gone.py")

    with sqlite3.connect(f"file:{place.state}/invact.db?mode=ro",
                         uri=True) as database:
        assert wait_for(lambda: database.execute(
            "SELECT op FROM kernels_v1").fetchall()) == [("mine::snake",)]
