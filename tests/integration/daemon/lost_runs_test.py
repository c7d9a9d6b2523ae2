"""A run whose relay is gone for good, and one whose relay comes back."""

from spools import Spool
from support import Relay, wait_for


def state(daemon, run_id):
    return daemon.rows(
        "SELECT state, end_reason FROM runs_v1 WHERE id = ?", run_id)[0]


def start(client, **fields):
    relay = Relay(client, **fields)
    relay.welcome()
    relay.send_step(0)
    relay.wait_ack()
    return relay


LOST = ("crashed", "lost")
RUNNING = ("running", None)


def test_a_run_is_lost_when_its_relay_does_not_come_back(make_daemon):
    daemon = make_daemon("--lost-after", "1")
    client = daemon.client()
    open_stream, vanished, held = (start(client) for _ in range(3))
    lock = Spool(daemon.spool, held.id).hold()

    vanished.replies.cancel()
    held.finish()

    wait_for(lambda: state(daemon, vanished.id) == LOST)
    assert state(daemon, open_stream.id) == RUNNING
    assert state(daemon, held.id) == RUNNING
    assert lock > 0
    assert f"run {vanished.id} is lost" in daemon.log()


def test_a_relay_that_comes_back_makes_its_run_go_on(make_daemon):
    daemon = make_daemon("--lost-after", "1")
    client = daemon.client()
    first = start(client)
    first.finish()
    wait_for(lambda: state(daemon, first.id) == LOST)

    again = Relay(client, run_id=first.id, secret=first.secret)
    assert again.welcome().last_seq == 1
    assert state(daemon, first.id) == RUNNING
    again.send_step(1, end=("finished", "exit"))
    again.wait_ack(2)

    assert state(daemon, first.id) == ("finished", "exit")
    assert daemon.rows("SELECT ended_ns > started_ns FROM runs_v1") == [(1,)]


def test_a_run_of_before_the_restart_is_lost_after_the_lease(make_daemon):
    daemon = make_daemon("--lost-after", "2")
    runs = [start(daemon.client()) for _ in range(2)]
    daemon.kill()
    daemon.start()
    assert state(daemon, runs[0].id) == RUNNING
    back = Relay(daemon.client(), run_id=runs[1].id, secret=runs[1].secret)
    back.welcome()

    wait_for(lambda: state(daemon, runs[0].id) == LOST)

    assert state(daemon, runs[1].id) == RUNNING
    ended, seen = daemon.rows(
        "SELECT ended_ns, (SELECT MAX(wall_ns) FROM batches_v1 WHERE "
        "run_id = id) FROM runs_v1 WHERE id = ?", runs[0].id)[0]
    assert ended == seen
