"""How the daemon starts, what it refuses to start on, and how it ends."""

import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import grpc
import pytest
from support import BIN, SANITIZED, Daemon, Relay, wait_for


def load(daemon, relays=4):
    """Relays that send until their stream ends; (stop, relays)."""
    stop = threading.Event()
    made = [Relay(daemon.client()) for _ in range(relays)]

    def drive(relay):
        try:
            relay.welcome()
            step = 0
            while not stop.is_set():
                relay.send_step(step, records=200)
                relay.wait_ack(relay.seq - 8)
                step += 1
        except (grpc.RpcError, StopIteration):
            pass

    threads = [threading.Thread(target=drive, args=(r,)) for r in made]
    for thread in threads:
        thread.start()

    def end():
        stop.set()
        for relay in made:
            relay.half_close()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()

    return made, end


def assert_nothing_lost(daemon, relays):
    for relay in relays:
        seqs = [s for s, in daemon.rows(
            "SELECT seq FROM batches_v1 WHERE run_id = ? ORDER BY seq",
            relay.id)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) >= relay.acked, (relay.id, relay.acked)
    # Each payload is its batch's own: 200 records of the step seq - 1.
    assert daemon.rows(
        "SELECT COUNT(*) FROM event_blobs WHERE events <> 200 OR "
        "first_step <> seq - 1 OR last_step <> seq - 1") == [(0,)]
    assert daemon.rows("PRAGMA integrity_check") == [("ok",)]


def test_sigterm_under_load_drains_and_leaves_no_log(daemon):
    relays, end = load(daemon)
    wait_for(lambda: all(r.acked > 20 for r in relays))
    began = time.monotonic()

    code, _, err = daemon.stop(seconds=5)

    assert (code, err) == (0, ""), time.monotonic() - began
    end()
    assert not daemon.socket.exists()
    wal = daemon.state / "invact.db-wal"
    assert not wal.exists() or wal.stat().st_size == 0
    assert (daemon.state / "invact.db.lock").read_text() == ""
    assert_nothing_lost(daemon, relays)
    for relay in relays:
        assert relay.replies.code() == grpc.StatusCode.UNAVAILABLE


def test_50_kills_under_load_lose_nothing_that_was_acknowledged(make_daemon):
    daemon = make_daemon(start=False)
    everybody = []
    for _ in range(50):
        daemon.start()
        relays, end = load(daemon, relays=2)
        wait_for(lambda: all(r.acked > 5 for r in relays))
        daemon.kill()
        end()
        everybody += relays
    daemon.start()
    assert_nothing_lost(daemon, everybody)
    assert all(r.acked > 5 for r in everybody)
    fresh = Relay(daemon.client())
    fresh.welcome()
    fresh.send_step(0)
    assert fresh.wait_ack(1) == 1


def test_a_second_daemon_is_refused_and_told_who_is_first(daemon):
    code, err = daemon.refused()
    assert code == 1
    assert f"pid {daemon.process.pid}" in err and "owns the socket" in err
    assert err.count("\n") == 1

    code, err = daemon.refused("--socket", daemon.folder / "other.sock")
    assert code == 1
    assert f"pid {daemon.process.pid}" in err and "owns the database" in err
    assert daemon.client().call("GetDaemonStatus").pid == daemon.process.pid


def test_a_socket_left_behind_is_replaced(make_daemon):
    daemon = make_daemon(start=False)
    for _ in range(5):
        daemon.start()
        daemon.kill()
        assert daemon.socket.exists()
    daemon.start()
    assert daemon.client().call("GetDaemonStatus").pid == daemon.process.pid
    assert daemon.socket.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(daemon.socket))


def test_an_idle_daemon_leaves_and_one_with_a_stream_stays(make_daemon):
    daemon = make_daemon("--idle-exit", "1")
    relay = Relay(daemon.client())
    relay.welcome()
    began = time.monotonic()
    while time.monotonic() < began + 2.5:  # the promise is about time
        relay.send_step(relay.seq)
        relay.wait_ack()
    assert daemon.process.poll() is None
    relay.finish()

    assert daemon.process.wait(10) == 0
    assert "nobody asked for anything" in daemon.log()
    assert not daemon.socket.exists()


def test_a_call_to_stop_ends_it_cleanly(daemon):
    daemon.client().call("StopDaemon")
    assert daemon.process.wait(10) == 0
    assert not daemon.socket.exists()


def test_a_newer_database_is_refused_and_stays_as_it_was(make_daemon):
    daemon = make_daemon()
    daemon.stop()
    connection = sqlite3.connect(daemon.database)
    connection.execute("PRAGMA user_version=99")
    connection.commit()
    connection.close()
    before = daemon.database.read_bytes()

    code, err = daemon.refused()

    assert code == 1
    assert "schema version 99, written by a newer invact" in err
    assert "Install the newer invact" in err
    assert daemon.database.read_bytes() == before


def test_a_database_of_another_host_is_refused_by_its_name(make_daemon):
    daemon = make_daemon()
    daemon.stop()
    lock = daemon.state / "invact.db.lock"
    lock.write_text("othernode 4711 0f0f0f0f-boot\n")

    code, err = daemon.refused()

    assert code == 1
    assert "pid 4711 on host othernode" in err and "--state-dir" in err
    lock.unlink()
    daemon.start()


def test_a_damaged_database_is_kept_and_a_new_one_started(make_daemon):
    daemon = make_daemon()
    relay = Relay(daemon.client())
    relay.welcome()
    for step in range(20):
        relay.send_step(step, records=500)
    relay.wait_ack()
    daemon.stop()
    content = bytearray(daemon.database.read_bytes())
    content[8192:16384] = os.urandom(8192)
    daemon.database.write_bytes(content)

    daemon.start()

    assert daemon.rows("SELECT COUNT(*) FROM runs") == [(0,)]
    aside, = [f for f in daemon.state.glob("invact.db.corrupt-*")
              if not f.name.endswith(("-wal", "-shm"))]
    assert aside.read_bytes() == bytes(content)
    assert str(aside) in daemon.log()
    _, _, err = daemon.stop()
    assert "the database was damaged" in err


@pytest.mark.parametrize("prepare,text", [
    (lambda d: d.state.mkdir(mode=0o755), "chmod 700"),
    (lambda d: d.state.write_text("a file"), "is a link or no directory"),
    (lambda d: (d.folder / "real").mkdir(mode=0o700) or d.state.symlink_to(
        d.folder / "real"), "is a link or no directory"),
    (lambda d: d.state.mkdir(mode=0o700) or (d.state / "invact.db").mkdir(),
     "invact.db"),
])
def test_a_folder_that_is_not_private_is_refused(make_daemon, prepare, text):
    daemon = make_daemon(start=False)
    prepare(daemon)
    code, err = daemon.refused()
    assert code == 1
    assert text in err and str(daemon.state) in err
    assert err.startswith("invactd: ") and err.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_of_somebody_else_is_refused(make_daemon):
    daemon = make_daemon(start=False)
    daemon.state.mkdir(mode=0o700)
    os.chown(daemon.state, 12345, 12345)
    code, err = daemon.refused()
    assert code == 1 and "belongs to uid 12345" in err


@pytest.mark.parametrize("arguments,text", [
    (("--quota", "10GB"), "write 10GiB"),
    (("--socket", "/tmp/" + "x" * 120), "a Unix socket allows 107"),
    (("--listen", "0.0.0.0:0"), "--tls-cert"),
    (("--no-such-key",), "invactd --help"),
    (("--token-file", "/nonexistent"), "cannot read the token file"),
])
def test_bad_options_end_with_usage(make_daemon, arguments, text):
    daemon = make_daemon(start=False)
    code, err = daemon.refused(*arguments)
    assert code == 2 and text in err
    assert not daemon.database.exists()


@pytest.mark.skipif(SANITIZED, reason="measures memory")
def test_idle_memory_and_threads_are_small(daemon):
    status = dict(line.split(":", 1) for line in open(
        f"/proc/{daemon.process.pid}/status"))
    assert int(status["VmRSS"].split()[0]) <= 60 * 1024
    assert int(status["Threads"]) < 30


def test_help_and_version_go_to_stdout():
    for flag, text in (("--help", "--quota"), ("--version", "invactd ")):
        done = subprocess.run([BIN / "invactd", flag], capture_output=True,
                              text=True, timeout=10)
        assert (done.returncode, done.stderr) == (0, "")
        assert text in done.stdout


def test_hang_up_and_interrupt_end_it_like_a_term(make_daemon):
    for number in (signal.SIGINT, signal.SIGHUP):
        daemon = make_daemon()
        assert isinstance(daemon, Daemon)
        assert daemon.stop(number) == (0, "", "")
