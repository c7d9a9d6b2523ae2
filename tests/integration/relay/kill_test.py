"""kill -9 of daemon, relay and job in turn, under load, fifty times each."""

import os
import random
import signal
import time

import jobs
from jobs import wait_for

KILLS = 50


def pauses(seconds, seed):
    """The same on every run; the moments differ enough by themselves."""
    chosen = random.Random(seed)
    for _ in range(KILLS):
        yield chosen.uniform(*seconds)


def test_fifty_dead_daemons_lose_and_double_nothing(daemon, make_job):
    job = make_job(rate=3000, threads=3, step_us=2000)

    for number, pause in enumerate(pauses((0.05, 0.3), 1)):
        stored = len(jobs.sequence(daemon, job.id)) if number else 0
        # Not Daemon.start: a gRPC client in Python would slow it down.
        daemon.process = daemon.spawn()
        if number == 0:
            wait_for(daemon.answers)
        wait_for(lambda: len(jobs.sequence(daemon, job.id)) > stored,
                 what="batches after a restart")
        until = time.monotonic() + pause
        wait_for(lambda: time.monotonic() > until)
        daemon.kill()
        assert jobs.alive(job.relay)
    assert job.finish() == (0, "no child")
    job.wait_relay()
    daemon.start()

    found = jobs.wait_end(daemon, job.id)
    assert (found["state"], found["end_reason"]) == ("finished", "exit")
    assert jobs.check_whole(daemon, job) > 0
    assert jobs.steps(daemon, job.id) == list(range(job.progress()[0]))


def test_fifty_dead_relays_harm_no_job_and_lose_nothing_acknowledged(
        daemon, make_job):
    daemon.start()
    killed = []
    for pause in pauses((0.02, 0.15), 2):
        job = make_job(rate=20000, threads=2)
        wait_for(lambda: jobs.sequence(daemon, job.id), what="batches come")
        until = time.monotonic() + pause
        wait_for(lambda: time.monotonic() > until)
        os.kill(job.relay, signal.SIGKILL)
        job.wait_relay()
        job.wait_steps(job.progress()[0] + 10)
        assert job.finish() == (0, "no child")
        assert job.progress()[4] < 1e9  # the longest push, in ns
        killed.append(job)

    for job in killed:
        # What it had on disk is adopted: a prefix of the truth, no holes.
        wait_for(lambda: not job.run_folder.exists(), what="adoption")
        seqs = jobs.sequence(daemon, job.id)
        assert seqs == list(range(1, len(seqs) + 1))
        for numbers in jobs.records(daemon, job.id).values():
            assert all(a < b for a, b in zip(numbers, numbers[1:]))
        steps = jobs.steps(daemon, job.id)
        assert steps == list(range(len(steps)))
        found = jobs.run(daemon, job.id)
        assert (found["state"], found["end_reason"]) == ("crashed", "lost")
    assert daemon.rows("PRAGMA integrity_check") == [("ok",)]


def test_fifty_dead_jobs_leave_all_but_the_last_tenth_of_a_second(
        daemon, make_job):
    daemon.start()
    for pause in pauses((0.02, 0.15), 3):
        job = make_job(rate=50000, threads=2)
        job.wait_steps(5)
        until = time.monotonic() + pause
        wait_for(lambda: time.monotonic() > until)
        job.process.kill()
        killed_ns = time.monotonic_ns()
        job.process.wait()

        found = jobs.wait_end(daemon, job.id)
        assert (found["state"], found["end_reason"]) == ("crashed", "signal")
        # Newer kernels tell which.
        assert found["signal"] in (signal.SIGKILL, None)
        made = job.progress()[0]
        steps = jobs.steps(daemon, job.id)
        # Killed between the push and our note of it, there is one more.
        assert steps == list(range(len(steps)))
        assert made <= len(steps) <= made + 1
        last_ns, = daemon.rows(
            "SELECT MAX(end_ns) FROM steps_v1 WHERE run_id = ?", job.id)[0]
        assert killed_ns - last_ns < 100e6
        # The same for each writer's last records, as far as rings had room.
        stored = sum(map(len, jobs.records(daemon, job.id).values()))
        written = job.progress()[2]
        assert written <= stored + found["events_dropped"] <= written + 2
