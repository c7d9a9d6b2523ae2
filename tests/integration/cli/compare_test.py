"""invact compare: a job under several policies becomes one measured table;
what fails is a line of it."""

import csv
import io
import json
import pathlib
import signal
import sys
import textwrap

import grpc
import pytest

from place import Place, alive, children, wait_for
from rich_errors import error_info

# A job that does what plugin and relay would do, without torch. What it saves
# depends on its policy alone; argv[1] is run at its end.
JOB = textwrap.dedent("""
    import os, sys, time
    sys.path[:0] = [{paths!r}]
    os.environ["INVACT_BIN_DIR"] = ""  # support.py wants to know it
    from support import Client, Relay
    policy = os.environ["INVACT_COMPARE_POLICY"]
    round = int(os.environ["INVACT_COMPARE_ROUND"])
    assert policy == os.environ["INVACT_POLICY"]
    print("out of", policy, round, flush=True)
    print("err of", policy, round, file=sys.stderr, flush=True)
    def train(end=("finished", "exit"), steps=2):
        relay = Relay(Client("unix:" + {socket!r}), policy=policy,
                      job_id=os.environ["INVACT_JOB_ID"], pid=os.getpid(),
                      host=os.uname().nodename, name="fake.py")
        relay.welcome()
        for index in range(steps):
            relay.send_step(
                index, end=end if index == steps - 1 else None,
                action="invert" if policy == "invert" else "keep")
        relay.wait_ack()
        relay.finish()
    exec(sys.argv[1])
""")


def job(place, code):
    paths = str(pathlib.Path(__file__).parents[1] / "daemon")
    return [sys.executable, "-c",
            JOB.format(paths=paths, socket=str(place.socket)), code]


def rows(comparison):
    return {row["policy"]: row for row in comparison["policies"]}


@pytest.fixture(scope="module")
def compared():
    """Three rounds of which one policy dies, one takes too long and one runs
    out of memory."""
    place = Place()
    place.ok("daemon", "start")
    code = textwrap.dedent("""
        if policy == "rebuild":
            train(("crashed", "oom")); sys.exit(1)
        if policy == "checkpoint": time.sleep(600)
        if policy == "auto": os.kill(os.getpid(), 9)
        train()
    """)
    place.logs = place.folder / "logs"
    place.done = place(
        "compare", "--json", "--policies",
        "observe,invert,rebuild,checkpoint,auto", "--rounds", 3, "--timeout",
        20, "--logs", place.logs, "--", *job(place, code), timeout=300)
    assert place.done.returncode == 0, place.done.stderr
    place.comparison = json.loads(place.done.stdout)
    yield place
    place.close()


def test_each_policy_is_a_row_with_its_end(compared):
    comparison = compared.comparison
    assert comparison["schema"] == "invact.compare/v1"
    assert (comparison["name"], comparison["rounds"],
            comparison["reference"]) == ("fake.py", 3, "observe")
    ends = {policy: (row["end_reason"], row["exit_code"], row["signal"])
            for policy, row in rows(comparison).items()}
    assert list(ends) == ["observe", "invert", "rebuild", "checkpoint", "auto"]
    assert ends == {"observe": ("exit", 0, None), "invert": ("exit", 0, None),
                    "rebuild": ("oom", 1, None),
                    "checkpoint": ("timeout", None, signal.SIGTERM),
                    "auto": ("signal", None, signal.SIGKILL)}


def test_a_policy_that_failed_is_not_run_again(compared):
    rounds = {policy: [one["round"] for one in row["rounds"]]
              for policy, row in rows(compared.comparison).items()}
    assert rounds == {"observe": [1, 2, 3], "invert": [1, 2, 3],
                      "rebuild": [1], "checkpoint": [1], "auto": [1]}


def test_figures_are_those_of_the_report(compared):
    for policy in "observe", "invert", "rebuild":
        row = rows(compared.comparison)[policy]
        report = compared.json("report", row["run_id"])
        assert report["run"]["policy"] == policy
        assert (row["saved"], row["peak"]) == (report["saved"], report["peak"])
    for policy in "checkpoint", "auto":
        row = rows(compared.comparison)[policy]
        assert (row["run_id"], row["saved"], row["peak"], row["timing"],
                row["added_fraction"]) == (None,) * 5


def test_what_was_not_seen_is_not_said_to_be_equal(compared):
    for row in compared.comparison["policies"]:
        assert (row["loss_equal"], row["gradients"]) == (None, "unseen")


def test_the_output_of_each_run_is_kept_apart(compared):
    names = {path.name for path in compared.logs.iterdir()}
    assert names == {
        f"round{number}.{policy}.{kind}" for kind in ("out", "err")
        for policy in ("observe", "invert", "rebuild", "checkpoint", "auto")
        for number in (1, 2, 3)
        if number == 1 or policy in ("observe", "invert")}
    for path in compared.logs.iterdir():
        number, policy, kind = path.name.split(".")
        assert path.read_text().endswith(
            f"{kind} of {policy} {number[-1]}\n")
    assert str(compared.logs) in compared.done.stderr


def test_a_stored_comparison_is_shown_again_in_every_format(compared):
    shown = compared.ok("compare", "--show", "@last", "--json")
    assert shown == compared.done.stdout
    identity = compared.comparison["id"]
    text = compared.ok("compare", "--show", identity[:8])
    assert "out of memory" in text and "timed out" in text
    assert "signal 9" in text and "all measured" in text
    lines = list(csv.DictReader(io.StringIO(compared.ok(
        "compare", "--show", identity, "--format", "csv"))))
    for line, row in zip(lines, compared.comparison["policies"], strict=True):
        assert line["policy"] == row["policy"]
        assert line["held_bytes"] == (
            str(row["saved"]["held_bytes"]) if row["saved"] else "")
    table = compared.ok("compare", "--show", identity, "--format", "md")
    assert sum(line.startswith("| ") for line in table.splitlines()) == 7
    listed = compared.json("compare", "--list")
    assert [one["id"] for one in listed["comparisons"]] == [identity]


def test_it_outlives_its_runs_and_goes_with_rm_all(compared):
    # The last test of this place.
    compared.ok("rm", compared.comparison["policies"][0]["run_id"])
    shown = compared.ok("compare", "--show", "@last", "--json")
    assert shown == compared.done.stdout
    compared.ok("rm", "--all", "--yes")
    error = compared.error("compare", "--show", "@last", code=3)
    assert "no comparison is stored yet" in error["message"]


def test_comparisons_come_in_pages_and_errors_say_what_helps(place):
    place.ok("daemon", "start")
    client = place.client()
    made = [client.call("CreateComparison", rounds=1, policies=[
        {"policy": policy, "rounds": [{"round": 1, "exit_code": 1}]}]).id
        for policy in ("observe", "invert", "auto")]
    seen, token = [], ""
    while True:
        page = client.call("ListComparisons", page_size=2, page_token=token)
        seen.append([one.id for one in page.comparisons])
        token = page.next_page_token
        if not token:
            break
    assert seen == [made[:0:-1], made[:1]]
    with pytest.raises(grpc.RpcError) as missing:
        client.call("GetComparison", comparison="no-such")
    assert missing.value.code() == grpc.StatusCode.NOT_FOUND
    assert "invact compare" in error_info(missing.value)[2]
    with pytest.raises(grpc.RpcError) as none:
        client.call("CreateComparison", rounds=1)
    assert none.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_signal_ends_the_job_and_the_comparison(place):
    place.ok("daemon", "start")
    process = place.start("compare", "--policies", "observe", "--",
                          "sh", "-c", "sleep 600 & sleep 600")
    wait_for(lambda: children(process.pid), what="the job has begun")
    job_pid = children(process.pid)[0]
    wait_for(lambda: len(children(job_pid)) == 2, what="its children are there")
    pids = [job_pid, *children(job_pid)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    wait_for(lambda: not any(map(alive, pids)), what="the job is gone")


@pytest.mark.parametrize("arguments,text", [
    (["--policies", "observe,inver"], "did you mean invert?"),
    (["--policies", "observe,observe"], "named twice"),
    (["--policies", "none"], "observe"),
    (["--rounds", "0"], "--rounds 0"),
    (["--timeout", "-1"], "--timeout"),
    (["--show", "@last"], "--show"),
    (["--json", "--format", "csv"], "contradict"),
])
def test_a_bad_value_is_refused_before_anything_runs(shared, arguments, text):
    done = shared("compare", *arguments, "--", "touch", "started")
    assert done.returncode == 2, done.stderr
    assert text in done.stderr
    assert not (shared.folder / "started").exists()


def test_no_command_and_no_such_command_are_told(shared):
    assert shared("compare").returncode == 2
    missing = shared("compare", "--", "no-such-program")
    assert missing.returncode == 1
    assert "cannot run no-such-program" in missing.stderr
