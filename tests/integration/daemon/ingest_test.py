"""What a relay may rely on, and what a stranger on the socket gets."""

import os
import socket

import grpc
import pytest
from support import Relay, wait_for


def test_acknowledged_batches_are_in_the_database(daemon):
    relay = Relay(daemon.client())
    assert relay.welcome().last_seq == 0
    for step in range(5):
        relay.send_step(step, records=100)
    relay.wait_ack(5)

    daemon.kill()

    assert daemon.rows("SELECT seq, events FROM batches_v1 ORDER BY seq") == [
        (seq, 100) for seq in range(1, 6)]
    assert daemon.rows("SELECT COUNT(*) FROM steps_v1") == [(5,)]
    assert daemon.rows("SELECT name, baseline_bytes, held_bytes, action "
                "FROM layers_v1 WHERE which = 'last' ORDER BY name") == [
        (f"model.layers.{i}", 1000 * i, 600 * i, "invert") for i in (1, 2, 3)]


def test_a_batch_that_comes_twice_is_stored_once_and_acknowledged(daemon):
    client = daemon.client()
    first = Relay(client)
    first.welcome()
    again = first.send_step(0, records=10)
    first.wait_ack(1)
    first.finish()

    second = Relay(client, run_id=first.id, secret=first.secret)
    assert second.welcome().last_seq == 1
    second.send(again)
    second.send_step(1)
    second.wait_ack(2)

    assert daemon.rows("SELECT seq FROM batches") == [(1,), (2,)]


def test_a_missing_batch_is_refused_by_its_number(daemon):
    relay = Relay(daemon.client())
    relay.welcome()
    relay.send_step(0)
    relay.seq = 2
    relay.send_step(2)

    code, text = relay.end()

    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "batch 2 is missing" in text
    assert relay.acked == 1


def test_another_secret_may_not_append(daemon):
    client = daemon.client()
    owner = Relay(client)
    owner.welcome()

    code, _ = Relay(client, run_id=owner.id).end()

    assert code == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("major,older", [(0, "relay"), (2, "daemon")])
def test_another_protocol_is_refused_naming_the_older_side(
        daemon, major, older):
    code, text = Relay(daemon.client(), major=major).end()

    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert f"the {older} is older" in text


def test_oversize_is_refused_and_a_full_mebibyte_is_not(daemon):
    client = daemon.client()

    def send(bytes_of_records):
        relay = Relay(client)
        relay.welcome()
        request = relay.batch()
        request.batch.records = bytes(bytes_of_records)
        request.batch.record_bytes = 64
        relay.send(request)
        return relay

    fits = send((1 << 20) - 64)
    fits.wait_ack(1)
    for size in (1 << 20, 5 << 20):
        code, _ = send(size).end()
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED, size


def bad_table(batch):
    batch.last_step.totals.phase = "done"
    batch.last_step.rows.add(baseline_bytes=-1)


@pytest.mark.parametrize("spoil,field", [
    (lambda b: setattr(b, "wall_time_ns", -1), "wall_time_ns"),
    (lambda b: (setattr(b, "records", b"x" * 100),
                setattr(b, "record_bytes", 48)), "records"),
    (lambda b: (setattr(b, "records", b"x" * 47),
                setattr(b, "record_bytes", 47)), "record_bytes"),
    (lambda b: setattr(b, "records", b"x"), "record_bytes"),
    (lambda b: b.scopes.add(name="n" * 5000), "scope.name"),
    (lambda b: b.scopes.add(name="a\0b"), "scope.name"),
    (lambda b: b.steps.add(index=-1, phase="done"), "step.index"),
    (lambda b: b.steps.add(phase="dancing"), "step.phase"),
    (lambda b: b.steps.add(phase="done", device_step_seconds=float("nan")),
     "step.device_step_seconds"),
    (bad_table, "row.baseline_bytes"),
    (lambda b: setattr(b.end, "state", "running"), "end.state"),
    (lambda b: setattr(b, "seq", 0), "seq"),
])
def test_a_bad_batch_is_refused_by_the_name_of_its_field(daemon, spoil, field):
    relay = Relay(daemon.client())
    relay.welcome()
    request = relay.batch()
    spoil(request.batch)
    relay.send(request)

    code, text = relay.end()

    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert text.startswith(field), text
    assert daemon.rows("SELECT COUNT(*) FROM batches") == [(0,)]


def test_wrong_messages_end_the_stream_only(daemon):
    client = daemon.client()
    twice = Relay(client)
    twice.welcome()
    twice.send(twice.hello)
    assert twice.end()[0] == grpc.StatusCode.INVALID_ARGUMENT
    not_proto = Relay(client)
    not_proto.welcome()
    not_proto.send(b"\xff" * 100)
    assert not_proto.end()[0] == (
        grpc.StatusCode.INVALID_ARGUMENT)
    bad_text = Relay(client)
    bad_text.welcome()
    # Batch{seq 1, scopes {name: two bytes that are no UTF-8}}
    bad_text.send(b"\x12\x08\x08\x01\x22\x04\x12\x02\xc3\x28")
    assert bad_text.end()[0] == (
        grpc.StatusCode.INVALID_ARGUMENT)

    good = Relay(client)
    good.welcome()
    good.send_step(0)
    assert good.wait_ack(1) == 1


def test_garbage_on_the_socket_harms_nobody(daemon):
    relay = Relay(daemon.client())
    relay.welcome()
    for garbage in (os.urandom(65536), b"GET / HTTP/1.1\r\n\r\n", b"\0" * 9,
                    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(4096),
                    b"\xff" * 100_000):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(daemon.socket))
            peer.settimeout(10)
            try:
                peer.sendall(garbage)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass
            except OSError:
                pass  # closed on us, as it should

    relay.send_step(0)
    assert relay.wait_ack(1) == 1
    assert daemon.process.poll() is None


def test_half_close_without_an_end_leaves_the_run_open(daemon):
    relay = Relay(daemon.client())
    relay.welcome()
    relay.send_step(0)
    assert relay.finish()[0] == grpc.StatusCode.OK
    assert relay.acked == 1
    assert daemon.rows("SELECT state FROM runs") == [("running",)]


def test_names_with_quotes_and_markup_come_back_unchanged(daemon):
    name = """<img onerror=x>'";-- \u202e\U0001f600"""
    relay = Relay(daemon.client(), name=name)
    relay.welcome()
    assert daemon.rows("SELECT name FROM runs") == [(name,)]


def test_the_run_secret_is_in_no_file(daemon):
    secret = b"canary-secret-of-this-run-0123"
    relay = Relay(daemon.client(), secret=secret)
    relay.welcome()
    relay.send_step(0, records=10, end=("finished", "exit"))
    relay.wait_ack(1)
    daemon.stop()

    files = [f for f in daemon.folder.rglob("*") if f.is_file()]
    assert daemon.database in files
    for file in files:
        content = file.read_bytes()
        assert secret not in content and secret.hex().encode() not in content
        assert (file.stat().st_mode & 0o077) == 0, file


def test_many_idle_streams_need_no_thread_each(daemon):
    client = daemon.client()
    relays = [Relay(client) for _ in range(200)]
    for relay in relays:
        relay.welcome()

    status = open(f"/proc/{daemon.process.pid}/status").read()
    threads = int(status.split("Threads:")[1].split()[0])
    assert threads < 40, threads
    relays[0].send_step(0)
    assert relays[0].wait_ack(1) == 1


def test_an_ended_run_says_how(daemon):
    relay = Relay(daemon.client())
    relay.welcome()
    relay.send_step(0, end=("crashed", "signal"))
    relay.wait_ack(1)
    wait_for(lambda: daemon.rows("SELECT state, end_reason FROM runs_v1")
             == [("crashed", "signal")])
