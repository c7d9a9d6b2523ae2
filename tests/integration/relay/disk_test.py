"""A spool on a full, forbidden, damaged or vanished disk."""

import os
import resource
import shutil
import signal
import subprocess

import jobs
import pytest
from jobs import wait_for

MIB = 1 << 20


@pytest.fixture
def small_disk(folder):
    """A file system of 1 MiB that holds the spool."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    spool = folder / "spool"
    spool.mkdir(mode=0o700)
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", spool],
        capture_output=True, text=True)
    if mount.returncode != 0:
        pytest.skip(f"no small disk can be mounted: {mount.stderr.strip()}")
    yield spool
    subprocess.run(["umount", "-l", spool], check=True)


def size(job):
    return sum(path.stat().st_size for path in job.segments())


def test_a_full_disk_costs_events_and_nothing_else(
        daemon, make_job, small_disk):
    job = make_job(rate=100_000, threads=2)
    # Long after the disk and the memory window are full.
    wait_for(lambda: job.progress()[2] * jobs.RECORD.size > 24 * MIB, 30)
    assert 0 < size(job) <= MIB
    assert jobs.memory_kib(job.relay, "VmHWM") <= 40 << 10
    assert "the spool takes no more" in job.log()

    daemon.start()
    wait_for(lambda: jobs.sequence(daemon, job.id), what="batches come")
    job.finish()

    found = jobs.wait_end(daemon, job.id)
    assert found["state"] == "finished" and found["events_dropped"] > 0
    jobs.check_whole(daemon, job)
    # Totals never drop.
    assert daemon.rows("SELECT DISTINCT step FROM layers_v1 WHERE which = "
                       "'last'") == [(job.progress()[0] - 1,)]


def test_a_disk_that_is_full_from_the_start_stops_no_stream(
        daemon, make_job, small_disk):
    (small_disk / "filler").write_bytes(bytes(900 << 10))
    daemon.start()
    job = make_job(rate=50000, steps=500)
    job.finish()

    found = jobs.wait_end(daemon, job.id)
    assert (found["state"], found["steps"]) == ("finished", 500)
    jobs.check_whole(daemon, job)
    job.wait_relay()
    assert [p.name for p in small_disk.iterdir()] == ["filler"]


def test_room_that_comes_back_is_used_again(daemon, make_job, small_disk):
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1000 << 10))
    job = make_job(rate=10000)
    wait_for(lambda: "the spool takes no more" in job.log())
    before = size(job)

    filler.unlink()
    wait_for(lambda: size(job) > before + 100_000, what="the spool grows")
    job.finish()
    job.wait_relay()
    daemon.start()

    assert jobs.wait_end(daemon, job.id)["state"] == "finished"
    jobs.check_whole(daemon, job)


def test_a_limit_on_file_sizes_is_no_limit_on_the_spool(daemon, make_job):
    job = make_job(rate=50000)
    resource.prlimit(job.relay, resource.RLIMIT_FSIZE, (MIB, MIB))
    wait_for(lambda: size(job) > 4 * MIB, 20, "a spool of several files")
    assert all(path.stat().st_size <= MIB for path in job.segments())
    job.finish()
    job.wait_relay()
    daemon.start()

    assert jobs.wait_end(daemon, job.id)["state"] == "finished"
    jobs.check_whole(daemon, job)


def forbid_owner(spool):
    spool.mkdir(mode=0o700)
    os.chown(spool, 12345, -1)


def forbid_mode(spool):
    spool.mkdir()
    spool.chmod(0o755)


def forbid_link(spool):
    (spool.parent / "elsewhere").mkdir(mode=0o700)
    spool.symlink_to(spool.parent / "elsewhere")


def forbid_file(spool):
    spool.write_text("")


@pytest.mark.parametrize("forbid,why", [
    pytest.param(forbid_owner, "belongs to uid 12345", marks=pytest.mark.skipif(
        os.geteuid() != 0, reason="only root can give a folder away")),
    (forbid_mode, "has mode 0755"),
    (forbid_link, "is a link or no folder"),
    (forbid_file, "is a link or no folder"),
])
def test_without_a_spool_the_stream_goes_on_and_the_report_says_so(
        daemon, make_job, folder, forbid, why):
    forbid(folder / "spool")
    daemon.start()
    job = make_job(rate=50000, steps=300)
    assert job.finish() == (0, "no child")

    assert jobs.wait_end(daemon, job.id)["state"] == "finished"
    jobs.check_whole(daemon, job)
    (warning,), = daemon.rows("SELECT text FROM warnings")
    assert why in warning
    job.wait_relay()
    for place in ("spool", "elsewhere"):
        if (folder / place).is_dir():
            assert list((folder / place).iterdir()) == []


def test_with_nothing_writable_and_no_daemon_the_job_is_unharmed(
        make_job, folder):
    forbid_file(folder / "spool")
    job = make_job(rate=50000, steps=300)
    assert job.finish() == (0, "no child")
    assert job.progress()[4] < 1e9
    assert jobs.memory_kib(job.relay, "VmHWM") <= 40 << 10
    job.wait_relay(20)


def test_the_next_folder_is_taken_where_the_first_is_forbidden(
        daemon, make_job, folder):
    (folder / "state").mkdir(mode=0o700)
    forbid_mode(folder / "state" / "spool")
    (folder / "tmp").mkdir()
    job = make_job(steps=100, env={"INVACT_SPOOL_DIR": "",
                                   "TMPDIR": str(folder / "tmp")})
    job.finish()
    job.wait_relay()
    place = folder / "tmp" / f"invact-{os.geteuid()}" / job.id
    assert list(place.glob("*.spool"))
    assert "has mode 0755" in (place / "relay.log").read_text()


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [flip_a_bit, cut, os.unlink])
def test_a_damaged_segment_costs_its_events_and_they_are_counted(
        daemon, make_job, damage):
    job = make_job(rate=100_000, threads=2, sites=30)
    # The newest 2 MiB are in memory, too: what is older is on disk alone.
    wait_for(lambda: len(job.segments()) >= 3, 20, "three segments")

    damage(job.segments()[0])
    daemon.start()
    wait_for(lambda: jobs.sequence(daemon, job.id), what="batches come")
    job.finish()
    job.wait_relay()

    found = jobs.wait_end(daemon, job.id)
    assert found["state"] == "finished" and found["events_dropped"] > 1000
    jobs.check_whole(daemon, job)
    # Names that were in it were said again.
    assert daemon.rows("SELECT COUNT(*), COUNT(name), MIN(op) FROM layers_v1 "
                       "WHERE which = 'last'") == [(30, 30, "GeluBackward0")]


def test_a_vanished_spool_folder_stops_nothing(daemon, make_job):
    job = make_job(rate=20000)
    job.wait_steps(100)
    shutil.rmtree(job.spool)
    job.wait_steps(job.progress()[0] + 100)
    daemon.start()
    job.finish()
    assert jobs.wait_end(daemon, job.id)["state"] == "finished"
    jobs.check_whole(daemon, job)


def test_a_daemon_that_lost_its_database_gets_a_run_without_holes(
        daemon, make_job):
    daemon.start()
    job = make_job(rate=5000, kernels=3)
    wait_for(lambda: len(jobs.sequence(daemon, job.id)) > 5)
    daemon.kill()
    shutil.rmtree(daemon.state)

    daemon.start()
    wait_for(lambda: jobs.sequence(daemon, job.id), what="batches come")
    job.finish()
    job.wait_relay()

    found = jobs.wait_end(daemon, job.id)
    assert found["state"] == "finished"
    seqs = jobs.sequence(daemon, job.id)
    assert seqs == list(range(1, len(seqs) + 1))
    assert daemon.rows("SELECT COUNT(name), MAX(step) FROM layers_v1 WHERE "
                       "which = 'last'") == [(20, job.progress()[0] - 1)]
    assert jobs.kernels(daemon, job.id) == jobs.KERNELS


def test_a_relay_that_is_asked_twice_to_stop_leaves_its_spool_in_order(
        daemon, make_job):
    job = make_job(rate=5000)
    job.wait_steps(50)
    os.kill(job.relay, signal.SIGTERM)
    job.wait_steps(job.progress()[0] + 200)
    assert jobs.alive(job.relay)  # the job may be writing a checkpoint
    os.kill(job.relay, signal.SIGTERM)
    job.wait_relay(5)
    assert job.finish() == (0, "no child")
    daemon.start()

    found = jobs.wait_end(daemon, job.id)
    assert (found["state"], found["end_reason"]) == ("crashed", "lost")
    seqs = jobs.sequence(daemon, job.id)
    assert seqs == list(range(1, len(seqs) + 1)) and len(seqs) > 1
