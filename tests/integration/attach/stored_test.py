"""What is stored of jobs: one run for each process that trained, and nothing
of what they were given."""

import json
import subprocess
import sys

import pytest

import job
from attach_support import JOBS, PRELOAD, both_at_once

ENVIRONMENT, ARGUMENT, DATA = (f"canary-{where}-5f0c2d7a" for where in
                               ("environment", "argument", "data"))
NAME = "named-so-by-its-user"


def holds(path, text):
    return path.is_file() and text.encode() in path.read_bytes()


def found_in(place, text):
    """Files that a job or the daemon wrote and that hold the text."""
    folders = [place.folder, place.runtime]
    return sorted(str(path) for folder in folders
                  for path in folder.rglob("*") if holds(path, text))


@pytest.fixture(scope="module")
def secretive(place):
    """What was found where: while the job was spooling and after all was
    stored, and the daemon's own answers."""
    environment = place.environment(
        LD_PRELOAD=str(PRELOAD), JOB_PASSWORD=ENVIRONMENT,
        INVACT_RUN_NAME=NAME, INVACT_LOG="debug")
    texts = (ENVIRONMENT, ARGUMENT, DATA, NAME)
    with subprocess.Popen(
            [sys.executable, str(JOBS / "private_data.py"), ARGUMENT, DATA],
            env=environment, cwd=place.folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == "trained\n"
        for _ in job.until(30):
            if found_in(place, NAME):
                break
        spooled = {text: found_in(place, text) for text in texts}
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    place.start_daemon()
    report = place.wait_for_run(NAME)
    answers = json.dumps(report) + place.cli("ls", "--json").stdout
    answers += place.cli("report", NAME).stdout + stderr
    return {"spool": spooled, "stored": {text: found_in(place, text)
                                         for text in texts},
            "answers": {text: [text] if text in answers else []
                        for text in texts}}


@pytest.mark.parametrize("where", ["spool", "stored", "answers"])
def test_no_secret_of_the_job_is_kept(secretive, where):
    # What may be found is, so the search looks in the right places.
    assert secretive[where][NAME]
    for text in (ENVIRONMENT, ARGUMENT, DATA):
        assert secretive[where][text] == []


def test_ranks_are_runs_of_one_job_and_nothing_else_is(place, secretive):
    before = len(runs(place))
    assert before == 1
    ranks, *others = both_at_once(
        lambda: place.attached(
            "-m", "torch.distributed.run", "--standalone",
            "--nproc-per-node", "2", JOBS / "rank.py"),
        lambda: place.attached(JOBS / "look.py", "torch"),
        lambda: place.attached(JOBS / "workers.py",
                               env={"INVACT_RUN_NAME": "workers"}))
    assert [done.returncode for done in (ranks, *others)] == [0, 0, 0]

    place.wait_for_run("workers")
    for _ in job.until(60):
        of_ranks = [run for run in runs(place) if run["name"] == "rank.py"]
        if [run["state"] for run in of_ranks] == ["finished"] * 2:
            break
    assert sorted(run["rank"] for run in of_ranks) == [0, 1]
    assert {run["world_size"] for run in of_ranks} == {2}
    job_id, = {run["job_id"] for run in of_ranks}
    assert job_id not in {run["id"] for run in of_ranks}  # the launcher's
    assert {run["steps"] for run in of_ranks} == {3}
    assert len(runs(place)) == before + 3


def runs(place):
    return json.loads(place.cli("ls", "--json").stdout)["runs"]
