"""The verbs that read stored runs: ls, report, diff, check, watch, export, rm."""

import csv
import io
import json
import os
import pty
import signal
import subprocess
import time

import pytest

from place import INVACT, Place, Relay, Screen, wait_for

# Three layers of send_step: 1000 i baseline, 600 i held, 10 i side.
BASELINE, HELD, SIDE = 6000, 3600, 60


@pytest.fixture(scope="module")
def stored():
    place = Place()
    place.ok("daemon", "start")
    place.ids = [
        place.record(run_id="aaaa000000000001", name="first.py", steps=3),
        place.record(run_id="aaaa000000000002", name="second.py", steps=1,
                     end=("crashed", "signal")),
    ]
    place.job = [place.record(run_id=f"bbbb00000000000{rank}", name="many.py",
                              job_id="big-job", rank=rank, world_size=2)
                 for rank in range(2)]
    yield place
    place.close()


def test_ls_lists_the_newest_first(stored):
    runs = stored.json("ls")
    assert runs["schema"] == "invact.runs/v1"
    assert [r["id"] for r in runs["runs"]] == [
        *reversed(stored.job), *reversed(stored.ids)]
    assert runs["runs"][-1]["steps"] == 3
    text = stored.ok("ls")
    lines = text.splitlines()
    for word in ("first.py", "finished", "invert", "3.5 KiB",
                 "2.3 KiB (-40 %)"):
        assert word in text, text
    assert len(lines) == 5, text
    limited = stored("ls", "--limit", "1")
    assert "many.py" in limited.stdout and "first.py" not in limited.stdout
    assert "--limit 0" in limited.stderr


@pytest.mark.parametrize("selector", [
    "aaaa000000000001", "aaaa000000000001"[:16], "first.py"])
def test_report_takes_every_kind_of_selector(stored, selector):
    assert stored.json("report", selector)["run"]["id"] == stored.ids[0]


def test_report_gives_the_numbers_that_were_recorded(stored):
    report = stored.json("report", "first.py")
    assert report["schema"] == "invact.report/v1"
    saved = report["saved"]
    assert (saved["baseline_bytes"], saved["held_bytes"], saved["side_bytes"],
            saved["eliminated_bytes"]) == (BASELINE, HELD, SIDE,
                                           BASELINE - HELD)
    assert report["step"]["index"] == 2
    assert len(report["layers"]) == 3
    assert stored.json("report", "first.py", "--step", "max")["max"][
        "baseline_bytes"] == BASELINE
    assert stored.json("report", "first.py", "--format", "json") == report


def test_report_in_every_format(stored):
    text = stored.ok("report", "first.py")
    assert "-40 %" in text and "measured" in text and "\033" not in text
    rows = list(csv.DictReader(io.StringIO(
        stored.ok("report", "first.py", "--format", "csv"))))
    assert sum(int(row["baseline_bytes"]) for row in rows) == BASELINE
    assert "| " in stored.ok("report", "first.py", "--format", "md")


def test_last_is_the_default_and_a_job_says_which_rank(stored):
    last = stored("report")
    assert last.returncode == 0 and "many.py" in last.stdout
    assert "rank 0 of job big-job (2 ranks)" in last.stderr
    other = stored("report", "big-job", "--rank", "1", "--json")
    assert json.loads(other.stdout)["run"]["rank"] == 1
    assert other.stderr == ""


@pytest.mark.parametrize("verb", ["report", "check", "watch", "export"])
def test_an_unknown_run_is_3(stored, verb):
    limit = ["--max-saved", "1"] if verb == "check" else []
    error = stored.error(verb, "nowhere", *limit, code=3)
    assert error == {"code": "not_found",
                     "message": 'no run matches "nowhere"',
                     "next": "see what there is with: invact ls"}
    text = stored(verb, "nowhere", *limit)
    assert text.stdout == "" and text.stderr.count("\n") == 1
    assert text.stderr.startswith("invact: no run matches")


def test_an_unknown_rank_or_step_is_3(stored):
    rank = stored.error("report", "big-job", "--rank", "7", code=3)
    assert "0, 1" in rank["next"]
    step = stored.error("report", "first.py", "--step", "99", code=3)
    assert "99" in step["message"]


def test_an_ambiguous_beginning_names_the_candidates(stored):
    for verb in ["report"], ["watch"], ["export"], ["rm"]:
        error = stored.error(*verb, "aaaa", code=2)
        assert all(run in error["message"] for run in stored.ids)
        assert "more of the id" in error["next"]


@pytest.mark.parametrize("arguments,text", [
    (["repot"], "did you mean report?"),
    (["report", "--format", "html"], "text, json, csv, md"),
    (["report", "--format", "xml"], "see: invact report --help"),
    (["report", "--json", "--format", "csv"], "contradict"),
    (["report", "--step", "sometimes"], "sometimes"),
    (["report", "--rank", "-1"], "--rank"),
    (["report", "a", "b"], "see: invact report --help"),
    (["diff", "first.py"], "two runs or more"),
    (["check", "first.py"], "--max-saved"),
    (["check", "first.py", "--max-saved", "3GB"], "write 3GiB"),
    (["check", "first.py", "--min-eliminated", "lots"], "percentage"),
    (["check", "first.py", "--tolerance", "5"], "--baseline"),
    (["rm"], "--all"),
    (["rm", "first.py", "--all"], "one of both"),
    (["rm", "--all"], "--yes"),
    (["ls", "--limit", "-3"], "--limit"),
    ([], "--help"),
])
def test_wrong_usage_is_2_and_says_what_to_write(stored, arguments, text):
    done = stored(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    if "--json" not in arguments:
        assert done.stderr.startswith("invact: ")
        assert stored.error(*arguments, code=2)["code"] == "usage"


def test_diff_shows_what_is_not_the_same(stored):
    diff = stored.json("diff", *stored.ids)
    assert diff["schema"] == "invact.diff/v1"
    assert [r["id"] for r in diff["runs"]] == stored.ids
    fields = {f["path"]: f["values"] for f in diff["fields"]}
    assert fields["run.name"] == ["first.py", "second.py"]
    assert "saved.baseline_bytes" not in fields
    assert "first.py" in stored.ok("diff", *stored.ids)
    assert stored.error("diff", stored.ids[0], "nowhere", code=3)


@pytest.mark.parametrize("limits,code", [
    (["--max-saved", "3600"], 0),
    (["--max-saved", "3599"], 4),
    (["--max-saved", "4KiB"], 0),
    (["--max-peak", "1MiB"], 0),
    (["--max-peak", "1048575"], 4),
    (["--min-eliminated", "40"], 0),
    (["--min-eliminated", "40.1%"], 4),
    (["--baseline", "second.py"], 0),
    (["--baseline", "second.py", "--tolerance", "5"], 0),
    (["--max-saved", "3600", "--max-peak", "1"], 4),
])
def test_check_ends_by_its_limits(stored, limits, code):
    done = stored("check", "first.py", *limits)
    assert (done.returncode, done.stderr) == (code, "")
    # Each limit with its measured value.
    assert len(done.stdout.splitlines()) >= len(
        [x for x in limits if x.startswith("--") and x != "--tolerance"])
    as_json = stored("check", "first.py", *limits, "--json")
    result = json.loads(as_json.stdout)
    assert as_json.returncode == code and result["passed"] == (code == 0)
    assert all(c["measured"] is not None for c in result["checks"])


def test_check_against_a_baseline_that_is_missing_is_3(stored):
    assert stored.error("check", "first.py", "--baseline", "nowhere", code=3)


def test_export_holds_every_step(stored):
    export = stored.json("export", "first.py")
    assert export["schema"] == "invact.export/v1"
    assert export["report"] == stored.json("report", "first.py")
    assert [s["index"] for s in export["steps"]] == [0, 1, 2]
    assert {s["baseline_bytes"] for s in export["steps"]} == {BASELINE}
    assert export["events"] == []
    rows = list(csv.DictReader(io.StringIO(
        stored.ok("export", "first.py", "--format", "csv"))))
    assert [row["index"] for row in rows] == ["0", "1", "2"]
    assert [int(row["held_bytes"]) for row in rows] == [HELD] * 3
    assert rows[0]["complete"] == "true"
    assert float(rows[0]["forward_seconds"]) == pytest.approx(399e-9)


def test_export_pages_through_events(stored):
    relay = Relay(stored.client(), run_id="cccc000000000001", name="events.py",
                  started=1000)
    relay.welcome()
    relay.send_step(0, records=2500, end=("finished", "exit"))
    relay.wait_ack()
    relay.finish()
    export = stored.json("export", "events.py")
    assert len(export["events"]) == 2500
    assert export["events"][0]["kind"] == "save"


def test_watch_of_an_ended_run_ends_at_once(stored):
    text = stored.ok("watch", "first.py")
    assert text.splitlines()[-1].startswith("run aaaa finished")
    assert "after 3 steps" in text
    line = json.loads(stored.ok("watch", "first.py", "--json"))
    assert line["schema"] == "invact.watch/v1"
    assert line["run"]["id"] == stored.ids[0]
    assert line["step"]["baseline_bytes"] == BASELINE


def test_watch_follows_a_run_to_its_end(stored):
    relay = Relay(stored.client(), run_id="dddd000000000001", name="live.py",
                  started=2000)
    relay.welcome()
    watch = stored.start("watch", "live.py")
    assert "before its first step" in watch.stdout.readline()
    for index in range(2):
        relay.send_step(index)
        line = watch.stdout.readline()
        assert line.startswith(f"step {index}  saved 2.3 KiB of 5.9 KiB (-40 %)")
        assert "peak 1.0 MiB" in line or "peak 1 MiB" in line
        assert line.endswith("(measured)\n")
    relay.send_step(2, end=("finished", "exit"))
    out, err = watch.communicate(timeout=30)
    relay.finish()
    assert out.splitlines()[0].startswith("step 2")
    assert out.splitlines()[-1].startswith("run dddd finished")
    assert (watch.returncode, err) == (0, "")


def test_watch_redraws_one_line_on_a_terminal(stored):
    relay = Relay(stored.client(), run_id="eeee000000000001", name="tty.py",
                  started=3000)
    relay.welcome()
    mine, theirs = pty.openpty()
    watch = stored.start("watch", "tty.py", stdout=theirs,
                         env={"COLUMNS": "60"})
    os.close(theirs)
    screen = Screen(mine)
    screen.read_until("before its first step")
    relay.send_step(0)
    screen.read_until("step 0")
    relay.send_step(1, end=("finished", "exit"))
    assert watch.wait(timeout=30) == 0
    screen.read_to_the_end()
    relay.finish()
    text = screen.seen
    assert "run eeee finished" in text
    assert "\r" in text.split("step 0")[0]
    assert text.count("\n") == 2, text
    assert all(len(part) < 60 + 10 for part in text.split("\r"))


def test_watch_ends_by_ctrl_c(stored):
    relay = Relay(stored.client(), run_id="ffff000000000001", name="int.py",
                  started=4000)
    relay.welcome()
    watch = stored.start("watch", "int.py")
    watch.stdout.readline()
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=30)
    assert watch.returncode == -signal.SIGINT
    relay.send_step(0, end=("finished", "exit"))
    relay.wait_ack()
    relay.finish()


@pytest.mark.parametrize("arguments", [
    ["report", "first.py"], ["report", "first.py", "--json"], ["ls"],
    ["export", "events.py"], ["diff", "first.py", "second.py"], ["doctor"]])
def test_a_reader_that_goes_away_is_no_error(stored, arguments):
    if "events.py" in arguments:
        arguments = ["export", "cccc"]
    done = subprocess.run(
        ["sh", "-c", '"$@" | head -c 1 > /dev/null', "sh", INVACT, *arguments],
        env=stored.environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_pipe_does_not_change_a_check_s_verdict(stored):
    read, write = os.pipe()
    os.close(read)
    check = stored.start("check", "first.py", "--max-saved", "1", stdout=write)
    os.close(write)
    _, err = check.communicate(timeout=30)
    assert (check.returncode, err) == (4, "")


def test_a_full_disk_is_an_error(stored):
    with open("/dev/full", "w", encoding="ascii") as full:
        report = stored.start("report", "first.py", stdout=full)
        _, err = report.communicate(timeout=30)
    assert report.returncode == 1
    assert "No space left" in err


def test_colours_come_on_a_terminal_unless_no_color(stored):
    for env, colours in [({"TERM": "xterm"}, True),
                         ({"TERM": "xterm", "NO_COLOR": "1"}, False),
                         ({"TERM": "dumb"}, False)]:
        mine, theirs = pty.openpty()
        process = stored.start("report", "first.py", stdout=theirs, env=env)
        os.close(theirs)
        screen = Screen(mine)
        screen.read_to_the_end()
        assert process.wait(timeout=30) == 0
        assert ("\033[" in screen.seen) == colours, env


def test_rm_removes_what_is_named(place):
    ids = [place.record(client=None if place.answers() else
                        start(place), name=f"{n}.py") for n in range(3)]
    job = [place.record(job_id="j", rank=r, world_size=2) for r in range(2)]

    assert "removed 1 run" in place("rm", "0.py").stderr
    assert place.json("rm", "j") == {"schema": "invact.rm/v1", "deleted": 2}

    left = [r["id"] for r in place.json("ls")["runs"]]
    assert sorted(left) == sorted(ids[1:])
    assert not set(job) & set(left)
    assert place.json("rm", "--all", "--yes")["deleted"] == 2
    assert place.json("ls")["runs"] == []
    assert place.error("report", code=3)["next"] == (
        "start one with: invact run -- CMD")


def start(place):
    place.ok("daemon", "start")
    return place.client()


def test_rm_all_asks_on_a_terminal(stored):
    before = stored.json("ls")
    mine, theirs = pty.openpty()
    process = stored.start("rm", "--all", stdin=theirs, stderr=theirs)
    os.close(theirs)
    screen = Screen(mine)
    screen.read_until("[y/N]")
    screen.type("n\n")
    assert process.wait(timeout=30) == 1
    os.close(mine)
    assert stored.json("ls") == before


def test_names_of_a_job_cannot_write_to_the_terminal(stored):
    stored.record(run_id="9999000000000001", name="a\033[31m\nb\a.py",
                  started=500, steps=1)
    for arguments in (["ls"], ["report", "9999"], ["watch", "9999"],
                      ["diff", "9999", "first.py"], ["export", "9999"],
                      ["report", "9999", "--format", "md"]):
        out = stored.ok(*arguments)
        assert "\033" not in out and "\a" not in out, arguments
    assert stored.json("report", "9999")["run"]["name"] == "a\033[31m\nb\a.py"


def test_a_daemon_that_stops_ends_a_watch_with_an_error(place):
    place.ok("daemon", "start")
    relay = Relay(place.client(), name="left.py")
    relay.welcome()
    watch = place.start("watch", "left.py")
    watch.stdout.readline()
    began = time.monotonic()
    place.ok("daemon", "stop")
    _, err = watch.communicate(timeout=30)
    assert watch.returncode == 5
    assert "stopping" in err or "closed" in err, err
    assert time.monotonic() - began < 20
    wait_for(lambda: not place.answers())
