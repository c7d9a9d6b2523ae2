"""The whole path by the command line alone: a real job, run, reported,
compared, checked and exported."""

import csv
import io
import json
import pathlib
import signal
import subprocess
import sys

import pytest

from place import INVACT, Place, wait_for

TRAIN = (pathlib.Path(__file__).parents[3] / "examples" / "train_lm.py")
SMALL = ["--layers", "2", "--width", "64", "--context", "32", "--batch", "2",
         "--text-bytes", "100000"]


def train(steps):
    return [sys.executable, TRAIN, *SMALL, "--steps", steps]


@pytest.fixture(scope="module")
def trained():
    place = Place()
    place.jobs = {
        policy: place("run", "--policy", policy, "--name", policy, "--",
                      *train(4), timeout=300)
        for policy in ("observe", "invert")}
    yield place
    place.close()


def test_the_run_is_complete_when_run_returns(trained):
    for policy, job in trained.jobs.items():
        assert job.returncode == 0, job.stderr
        assert "final loss" in job.stdout and "invact" not in job.stdout
        # What the guest says, nothing else.
        lines = job.stderr.splitlines()
        assert [line.split()[:2] for line in lines] == [
            ["invact:", "run"]] * 2, lines
    runs = trained.json("ls")["runs"]
    assert [r["name"] for r in runs] == ["invert", "observe"]
    assert {(r["state"], r["exit_code"], r["steps"]) for r in runs} == {
        ("finished", 0, 4)}


def test_the_report_says_what_the_guest_said(trained):
    report = trained.json("report", "invert")
    saved = report["saved"]
    assert saved["eliminated_fraction"] > 0.1
    assert saved["baseline_bytes"] - saved["held_bytes"] == (
        saved["eliminated_bytes"])
    end = trained.jobs["invert"].stderr.splitlines()[1]
    share = round(100 * saved["eliminated_fraction"])
    assert f"(-{share} %, measured)" in end
    assert trained.ok("report", "invert").startswith("Saved ")
    assert trained.json("report", "observe")["saved"]["eliminated_bytes"] == 0


def test_diff_check_watch_and_export_agree_with_the_report(trained):
    saved = trained.json("report", "invert")["saved"]
    diff = trained.json("diff", "observe", "invert")
    fields = {f["path"]: f["values"] for f in diff["fields"]}
    assert fields["saved.held_bytes"] == [saved["baseline_bytes"],
                                          saved["held_bytes"]]
    held = saved["held_bytes"]
    for limit, code in (held, 0), (held - 1, 4):
        assert trained("check", "invert", "--max-saved", limit,
                       "--baseline", "observe").returncode == code
    watched = json.loads(trained.ok("watch", "invert", "--json"))
    assert watched["step"]["held_bytes"] == held
    rows = list(csv.DictReader(io.StringIO(
        trained.ok("export", "invert", "--format", "csv"))))
    assert [int(row["held_bytes"]) for row in rows][-1] == held
    assert len(rows) == 4


def test_a_job_that_is_ended_says_by_what(trained):
    process = trained.start("run", "--name", "ended", "--", *train(100000))
    wait_for(lambda: trained("report", "ended").returncode == 0, 120)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    run = trained.json("report", "ended")["run"]
    assert (run["state"], run["signal"]) == ("crashed", signal.SIGTERM)


def test_why_a_torch_job_has_no_run(trained):
    job = [sys.executable, "-c", "import torch, time\n"
           "with torch.no_grad(): torch.nn.Linear(2, 2)(torch.ones(2))\n"
           "time.sleep(0.6)"]  # `run` looks now and then
    inference = trained("run", "--", *job)
    assert "nothing was saved for backward" in inference.stderr
    lost = trained("run", "--", "env", "-u", "LD_PRELOAD", *job)
    assert "LD_PRELOAD was lost" in lost.stderr
    assert inference.returncode == lost.returncode == 0


def test_a_captured_run_of_a_real_job_ends_with_it(trained):
    code = ("import subprocess, sys\n"
            "done = subprocess.run(sys.argv[1:], capture_output=True)\n"
            "sys.exit(done.returncode)")
    done = subprocess.run(
        [sys.executable, "-c", code, INVACT, "run", "--", sys.executable,
         TRAIN, *SMALL, "--steps", "1"], env=trained.environment(),
        timeout=300, capture_output=True)
    assert done.returncode == 0, done.stderr
