"""What was written arrives, once, whoever is there to take it."""

import json
import os
import pathlib
import signal
import subprocess
import time

import jobs
import pytest
from jobs import wait_for


def test_a_finished_run_is_stored_to_the_last_record(daemon, make_job):
    daemon.start()
    job = make_job(steps=300, sites=20, rate=50000, threads=3, end=3, kernels=3)

    code, children = job.finish()

    assert (code, children) == (3, "no child")
    found = jobs.wait_end(daemon, job.id)
    assert (found["state"], found["end_reason"], found["exit_code"]) == (
        "finished", "exit", 3)
    assert (found["name"], found["device"], found["steps"]) == (
        "job", "cpu", 300)
    assert jobs.check_whole(daemon, job) > 0
    assert jobs.steps(daemon, job.id) == list(range(300))
    assert daemon.rows(
        "SELECT which, step, COUNT(*), SUM(baseline_bytes), SUM(held_bytes), "
        "SUM(side_bytes), MIN(action) FROM layers_v1 GROUP BY which "
        "ORDER BY which") == [
            (which, 299, 20, 1000 * 210 + 20 * 299, 600 * 210, 10 * 210,
             "invert") for which in ("last", "max")]
    assert daemon.rows("SELECT name FROM layers_v1 WHERE which = 'last' "
                       "ORDER BY baseline_bytes")[9] == ("model.layers.10",)
    assert jobs.kernels(daemon, job.id) == jobs.KERNELS
    job.wait_relay()
    assert list(job.spool.iterdir()) == []


def test_a_daemon_that_starts_later_gets_all(daemon, make_job):
    job = make_job(rate=50000, threads=2, kernels=3)
    job.wait_steps(200)
    assert job.segments()

    daemon.start()
    wait_for(lambda: jobs.sequence(daemon, job.id), what="batches come")
    job.wait_steps(job.progress()[0] + 100)
    job.finish()

    found = jobs.wait_end(daemon, job.id)
    assert (found["state"], found["exit_code"]) == ("finished", 0)
    jobs.check_whole(daemon, job)
    assert jobs.steps(daemon, job.id) == list(range(job.progress()[0]))
    assert jobs.kernels(daemon, job.id) == jobs.KERNELS


def test_without_a_daemon_the_spool_holds_all_and_is_adopted(
        daemon, make_job):
    job = make_job(steps=300, rate=50000, threads=2, kernels=3)
    job.finish()
    job.wait_relay()

    seqs = []
    for path in job.segments():
        whole = jobs.frames(path)
        assert whole[0][0] == 0  # a hello
        assert int(path.stem, 16) == whole[1][0]
        seqs += [seq for seq, _ in whole[1:]]
    assert seqs == list(range(1, len(seqs) + 1))
    for path in [job.spool, job.run_folder, *job.run_folder.iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path

    daemon.start()
    found = jobs.wait_end(daemon, job.id)
    assert (found["state"], found["end_reason"]) == ("finished", "exit")
    jobs.check_whole(daemon, job)
    assert jobs.steps(daemon, job.id) == list(range(300))
    assert jobs.kernels(daemon, job.id) == jobs.KERNELS
    wait_for(lambda: not job.run_folder.exists(), what="the spool is removed")


def test_a_job_ends_with_its_pipes_whatever_its_relay_waits_for(
        daemon, folder):
    daemon.start()
    daemon.process.send_signal(signal.SIGSTOP)
    environment = {"INVACT_SPOOL_DIR": str(folder / "spool"),
                   "INVACT_DAEMON": f"unix:{daemon.socket}"}

    done = subprocess.run(
        [jobs.JOB, jobs.RELAY, folder / "progress", "steps=50"],
        env=environment, capture_output=True, text=True, timeout=5)

    daemon.process.send_signal(signal.SIGCONT)
    run_id, children = done.stdout.split("\n", 1)
    assert (done.returncode, children, done.stderr) == (0, "no child\n", "")
    assert jobs.wait_end(daemon, run_id)["state"] == "finished"


@pytest.mark.parametrize("options,state,reason,code", [
    (dict(end="_exit"), "crashed", None, None),
    (dict(end="abort"), "crashed", "signal", None),
    (dict(end=1, oom=1), "crashed", "oom", 1),
    (dict(end=0, oom=1), "finished", "exit", 0),
    (dict(end="abort", oom=1), "crashed", "oom", None),
])
def test_the_end_says_how(daemon, make_job, options, state, reason, code):
    daemon.start()
    job = make_job(steps=20, **options)
    job.finish()

    found = jobs.wait_end(daemon, job.id)

    if options["end"] == "_exit":  # newer kernels tell that it was no signal
        assert (found["end_reason"], found["exit_code"]) in [
            ("exit", 7), ("signal", None)]
    else:
        assert (found["end_reason"], found["exit_code"]) == (reason, code)
    assert found["state"] == state
    if "oom" in options:
        assert daemon.rows("SELECT oom_phase, oom_step, oom_layer, "
                           "oom_requested_bytes FROM runs") == [
                               ("forward", 20, "model.layers.1", 512 << 20)]


def test_the_relay_is_nobody_to_the_job(daemon, make_job):
    daemon.start()
    job = make_job(steps=100)
    stat = pathlib.Path(f"/proc/{job.relay}/stat").read_text()
    parent, group, session = stat.rsplit(")", 1)[1].split()[1:4]
    wait_for(lambda: os.readlink(f"/proc/{job.relay}/cwd") == "/",
             what="it left the job's folder")
    links = {os.readlink(f"/proc/{job.relay}/fd/{fd}") for fd in range(3)}

    assert int(parent) != job.process.pid
    # A relay of its own session gets no Ctrl-C that is meant for the job.
    assert int(group) != os.getpgid(0) and int(session) != os.getsid(0)
    assert links == {"/dev/null"}
    for fd in os.listdir(f"/proc/{job.relay}/fd"):
        target = os.readlink(f"/proc/{job.relay}/fd/{fd}")
        assert "pipe" not in target or int(fd) > 2
    assert job.finish() == (0, "no child")


def test_an_idle_relay_is_small_and_rests(daemon, make_job):
    daemon.start()
    job = make_job(rate=1, step_us=1_000_000, sites=2000)
    wait_for(lambda: jobs.sequence(daemon, job.id), what="batches come")
    began, before = time.monotonic_ns(), jobs.cpu_ns(job.relay)
    wait_for(lambda: time.monotonic_ns() - began > 2e9, 10)
    share = (jobs.cpu_ns(job.relay) - before) / (time.monotonic_ns() - began)
    print(json.dumps({"idle_cpu": share,
                      "rss_kib": jobs.memory_kib(job.relay)}))

    # 0.25 % on a quiet machine; a loaded one makes the same work dearer.
    assert share < 0.01
    assert jobs.memory_kib(job.relay, "VmHWM") <= 40 << 10


def test_a_stuck_daemon_costs_neither_memory_nor_records(daemon, make_job):
    daemon.start()
    job = make_job(rate=20000, threads=2)
    wait_for(lambda: jobs.sequence(daemon, job.id), what="batches come")
    daemon.process.send_signal(signal.SIGSTOP)
    job.wait_steps(job.progress()[0] + 1000)
    assert jobs.memory_kib(job.relay, "VmHWM") <= 40 << 10

    daemon.process.send_signal(signal.SIGCONT)
    job.finish()
    jobs.wait_end(daemon, job.id)
    jobs.check_whole(daemon, job)


def test_secrets_and_arguments_reach_no_file(daemon, folder, make_job):
    canary = "canary-7d1f0c"
    daemon.start()
    job = make_job(steps=50, env={"SOME_SECRET": canary},
                   name="named")
    job.finish()
    jobs.wait_end(daemon, job.id)
    spooled = make_job(steps=50, env={
        "SOME_SECRET": canary, "INVACT_DAEMON": f"unix:{folder}/none.sock"})
    spooled.finish()
    spooled.wait_relay()
    daemon.stop()

    seen = [p for p in folder.rglob("*") if p.is_file()]
    assert daemon.database in seen and spooled.segments()
    for path in seen:
        data = path.read_bytes()
        assert canary.encode() not in data, path
        assert b"progress" not in data, path  # an argument of the job


def test_two_runs_share_a_folder_and_a_daemon(daemon, make_job):
    daemon.start()
    both = [make_job(steps=100, name=name) for name in ("one", "two")]
    for job in both:
        job.finish()
    for job in both:
        jobs.wait_end(daemon, job.id)
        jobs.check_whole(daemon, job)
