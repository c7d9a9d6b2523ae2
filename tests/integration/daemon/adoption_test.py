"""What becomes of the spools that dead relays left on disk."""

import os
import random

import pytest
from spools import Spool, frame
from support import Relay, wait_for


@pytest.fixture
def maker(make_daemon):
    """Makes messages; its daemon is stopped, what it learned stays known."""
    daemon = make_daemon()
    client = daemon.client()
    Relay(client, connect=False).send_step(0)  # loads every descriptor
    daemon.stop()

    def make(**fields):
        return Relay(client, connect=False, **fields)

    return make


def outcome(daemon, run):
    found = daemon.rows("SELECT state, end_reason FROM runs_v1 WHERE id = ?",
                        run.id)
    return found[0] if found else None


def batches(daemon, run):
    return [seq for seq, in daemon.rows(
        "SELECT seq FROM batches_v1 WHERE run_id = ? ORDER BY seq", run.id)]


def steps(run, count, **last):
    return [run.send_step(i, records=5, **(last if i == count - 1 else {}))
            for i in range(count)]


def test_a_starting_daemon_has_taken_every_spool_before_it_answers(
        make_daemon, maker):
    daemon = make_daemon(start=False)
    run = maker()
    spool = Spool(daemon.spool, run.id)
    sent = steps(run, 6, end=("finished", "exit"))
    spool.segment(sent[:3], run.hello)
    spool.segment(sent[3:], run.hello)

    daemon.start()

    assert outcome(daemon, run) == ("finished", "exit")
    assert batches(daemon, run) == [1, 2, 3, 4, 5, 6]
    assert daemon.rows("SELECT COUNT(*), MAX(step) FROM steps_v1") == [(6, 5)]
    assert not spool.folder.exists()


def test_a_running_daemon_takes_a_spool_when_its_lock_is_free(
        make_daemon, maker):
    daemon = make_daemon()
    held, free = maker(), maker()
    spool = Spool(daemon.spool, held.id)
    lock = spool.hold()
    spool.segment(steps(held, 2), held.hello)
    before = spool.write(9, [b"x"]).read_bytes()
    other = Spool(daemon.spool, free.id)
    other.segment(steps(free, 2), free.hello)
    wait_for(lambda: outcome(daemon, free))
    assert outcome(daemon, held) is None
    assert (spool.folder / f"{9:016x}.spool").read_bytes() == before
    os.unlink(spool.folder / f"{9:016x}.spool")

    os.close(lock)

    wait_for(lambda: not spool.folder.exists())
    assert batches(daemon, held) == [1, 2]


def test_a_spool_without_an_end_is_a_lost_run_that_ended_with_its_last_batch(
        make_daemon, maker):
    daemon = make_daemon(start=False)
    run = maker()
    sent = steps(run, 3)
    sent[-1].batch.wall_time_ns -= 3600 * 10**9
    Spool(daemon.spool, run.id).segment(sent, run.hello)

    daemon.start()

    assert daemon.rows("SELECT state, end_reason, ended_ns FROM runs_v1") == [
        ("crashed", "lost", sent[-1].batch.wall_time_ns)]


def test_what_was_acknowledged_before_is_stored_once(make_daemon, maker):
    daemon = make_daemon()
    live = Relay(daemon.client())
    live.welcome()
    sent = steps(live, 3)
    live.wait_ack(3)
    live.finish()
    spool = Spool(daemon.spool, live.id)
    sent.append(live.send_step(3, records=5, end=("finished", "exit")))

    spool.segment(sent[1:], live.hello)

    wait_for(lambda: not spool.folder.exists())
    assert batches(daemon, live) == [1, 2, 3, 4]
    assert daemon.rows("SELECT COUNT(*) FROM event_blobs") == [(4,)]
    assert outcome(daemon, live) == ("finished", "exit")


def test_a_torn_segment_counts_up_to_its_last_whole_frame(make_daemon, maker):
    """At every place where a write may have been cut off."""
    daemon = make_daemon(start=False)
    expected = {}
    for cut in range(0, 1500, 13):
        run = maker()
        spool = Spool(daemon.spool, run.id)
        hello = frame(0, run.hello)
        frames = [frame(r.batch.seq, r)
                  for r in [run.send_step(i, layers=1) for i in range(4)]]
        path = spool.write(1, [hello] + frames)
        whole = path.read_bytes()
        path.write_bytes(whole[:cut])
        at, count = 36 + len(hello), 0
        opened = cut >= at
        for one in frames:
            at += len(one)
            count += cut >= at
        expected[run.id] = (opened, count)
    assert {count for _, count in expected.values()} == {0, 1, 2, 3, 4}

    daemon.start()

    found = dict(daemon.rows(
        "SELECT r.id, COUNT(b.seq) FROM runs_v1 AS r LEFT JOIN batches_v1 AS b "
        "ON b.run_id = r.id GROUP BY r.id"))
    assert found == {run: count for run, (opened, count) in expected.items()
                     if opened}
    assert list(daemon.spool.iterdir()) == []
    assert "torn" in daemon.log()


def test_a_damaged_segment_is_kept_and_never_read_wrongly(make_daemon, maker):
    daemon = make_daemon(start=False)
    seed = random.randrange(1 << 32)
    print("seed", seed)
    pick = random.Random(seed)
    damaged = {}
    for _ in range(60):
        run = maker()
        spool = Spool(daemon.spool, run.id)
        path = spool.segment(steps(run, 4, end=("finished", "exit")),
                             run.hello)
        content = bytearray(path.read_bytes())
        content[pick.randrange(len(content))] ^= 1 << pick.randrange(8)
        path.write_bytes(content)
        damaged[run.id] = (path, bytes(content))

    daemon.start()

    for run_id, seq, events in daemon.rows(
            "SELECT run_id, seq, events FROM batches_v1"):
        assert 1 <= seq <= 3 or run_id not in damaged, (run_id, seq)
        assert events == 5
    # A flipped length may make a file torn instead of damaged.
    kept = 0
    for path, content in damaged.values():
        aside = path.with_name(path.name + ".corrupt")
        if aside.exists():
            kept += 1
            assert aside.read_bytes() == content
            assert f"{path.name}.corrupt" in daemon.log()
    assert kept > 30
    assert daemon.rows("SELECT COUNT(*) FROM steps_v1 WHERE step > 3 OR "
                       "baseline_bytes <> 6000") == [(0,)]


def test_a_newer_format_or_protocol_stays_as_it_is(make_daemon, maker):
    daemon = make_daemon(start=False)
    newer, other = maker(), maker(major=2)
    first = Spool(daemon.spool, newer.id).write(
        1, [frame(0, newer.hello)], version=2)
    second = Spool(daemon.spool, other.id).segment(steps(other, 1),
                                                   other.hello)
    before = first.read_bytes(), second.read_bytes()

    daemon.start()

    assert daemon.rows("SELECT COUNT(*) FROM runs") == [(0,)]
    assert (first.read_bytes(), second.read_bytes()) == before
    log = daemon.log()
    assert f"{newer.id}, {first.name}: written by a newer invact" in log
    assert "the daemon is older" in log


def test_a_hole_between_segments_sets_the_rest_aside(make_daemon, maker):
    daemon = make_daemon(start=False)
    run = maker()
    spool = Spool(daemon.spool, run.id)
    sent = steps(run, 6)
    spool.segment(sent[:2], run.hello)
    rest = spool.segment(sent[4:], run.hello)

    daemon.start()

    assert batches(daemon, run) == [1, 2]
    assert outcome(daemon, run) == ("crashed", "lost")
    assert "batch 3 is missing" in daemon.log()
    assert rest.with_name(rest.name + ".corrupt").exists()


def test_wrong_contents_are_refused_by_the_same_gate_as_a_stream(
        make_daemon, maker):
    daemon = make_daemon(start=False)

    def spoiled(spoil, runs=None):
        run = maker()
        sent = steps(run, 2)
        spoil(run, sent)
        return run, Spool(daemon.spool, runs or run.id).segment(
            sent, run.hello)

    bad_batch, bad_path = spoiled(
        lambda run, sent: setattr(sent[1].batch, "wall_time_ns", -1))
    bad_hello, _ = spoiled(
        lambda run, sent: setattr(run.hello.hello, "run_secret", b"short"))
    named, _ = spoiled(
        lambda run, sent: setattr(run.hello.hello.run, "id", "f" * 16))
    open_to_all, _ = spoiled(lambda run, sent: None)
    os.chmod(daemon.spool / open_to_all.id, 0o777)
    linked = maker()
    target = daemon.folder / "elsewhere"
    target.mkdir()
    os.symlink(target, daemon.spool / linked.id)

    daemon.start()

    assert batches(daemon, bad_batch) == [1]
    assert bad_path.with_name(bad_path.name + ".corrupt").exists()
    assert daemon.rows("SELECT id FROM runs") == [(bad_batch.id,)]
    assert "batch 2: wall_time_ns" in daemon.log()


def test_a_spool_with_another_secret_may_not_append(make_daemon, maker):
    daemon = make_daemon()
    live = Relay(daemon.client())
    live.welcome()
    live.finish()
    run = maker(run_id=live.id)
    path = Spool(daemon.spool, run.id).segment(steps(run, 1), run.hello)

    wait_for(lambda: not path.exists())

    assert batches(daemon, run) == []
    assert "another secret" in daemon.log()


def test_kill_9_while_adopting_stores_every_batch_once(make_daemon, maker):
    daemon = make_daemon(start=False)
    runs = []
    for _ in range(30):
        run = maker()
        spool = Spool(daemon.spool, run.id)
        sent = steps(run, 20, end=("finished", "exit"))
        for at in range(0, 20, 5):
            spool.segment(sent[at:at + 5], run.hello)
        runs.append(run)

    kills = 0
    for _ in range(8):
        daemon.process = daemon.spawn()
        wait_for(daemon.database.exists)
        left = len(list(daemon.spool.iterdir()))
        wait_for(lambda: left == 0 or
                 len(list(daemon.spool.iterdir())) < left)
        kills += left > 1
        daemon.kill()
    daemon.start()

    assert kills > 3
    for run in runs:
        assert batches(daemon, run) == list(range(1, 21))
        assert outcome(daemon, run) == ("finished", "exit")
    assert daemon.rows("PRAGMA integrity_check") == [("ok",)]
    # A folder emptied just before a kill goes later, as one of a relay that
    # starts looks the same.
    assert list(daemon.spool.glob("*/*.spool")) == []


def test_the_empty_folder_of_a_relay_that_ended_goes_later(make_daemon, maker):
    daemon = make_daemon(start=False)
    old, new, kept = (Spool(daemon.spool, maker().id) for _ in range(3))
    (kept.folder / f"{1:016x}.spool.corrupt").write_bytes(b"evidence")
    for spool in (old, kept):
        os.utime(spool.folder, (1, 1))

    daemon.start()

    assert sorted(daemon.spool.iterdir()) == sorted([new.folder, kept.folder])
    assert len(list(kept.folder.iterdir())) == 3
