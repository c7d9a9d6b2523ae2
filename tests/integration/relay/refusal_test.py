"""Daemons that refuse, misbehave or are somebody else's: the relay spools on,
says why once, and never tries in a hot loop."""

import os
import secrets
import shutil
import socket
import subprocess
import time

import grpc
import jobs
import pytest
from fake_daemon import FakeDaemon, ack, batch_of, fields, welcome
from jobs import wait_for

needs_root = pytest.mark.skipif(os.geteuid() != 0,
                                reason="only root can give a file away")


@pytest.fixture
def make_fake(folder):
    made = []

    def make(talk):
        made.append(FakeDaemon(folder / "d.sock", talk))
        return made[-1]

    yield make
    for fake in made:
        fake.stop()


def abort(code, text):
    def talk(hello, requests, context):
        context.abort(code, text)
        yield
    return talk


@pytest.mark.parametrize("code,text", [
    (grpc.StatusCode.FAILED_PRECONDITION,
     "the relay speaks protocol 1.0, the daemon 2.0: the relay is older"),
    (grpc.StatusCode.PERMISSION_DENIED, "opened with another secret"),
    (grpc.StatusCode.INVALID_ARGUMENT, "run.id: is not 16 hex digits"),
    (grpc.StatusCode.UNIMPLEMENTED, "no such service"),
])
def test_a_refused_relay_spools_and_says_why_once(
        daemon, make_job, make_fake, code, text):
    fake = make_fake(abort(code, text))
    job = make_job(rate=1000)
    wait_for(lambda: fake.streams, what="an attempt")
    began, cpu = time.monotonic_ns(), jobs.cpu_ns(job.relay)
    wait_for(lambda: time.monotonic_ns() - began > 1e9)
    share = (jobs.cpu_ns(job.relay) - cpu) / (time.monotonic_ns() - began)

    assert fake.streams == 1
    assert share < 0.05
    assert job.log().count(f"refused: {text}") == 1
    fake.stop()
    # Another daemon is asked at once, not after the minute.
    daemon.start()
    wait_for(lambda: jobs.sequence(daemon, job.id), 5, "the next is found")
    job.finish()
    assert jobs.wait_end(daemon, job.id)["state"] == "finished"
    jobs.check_whole(daemon, job)


def garbage(hello, requests, context):
    yield secrets.token_bytes(100)


def impossible_welcome(hello, requests, context):
    yield b"\x0a\x05\x08\xff\xff\xff\x7f"


def ack_of_the_future(hello, requests, context):
    yield welcome(0)
    yield ack(4000)
    yield from (ack(4000) for _ in requests)


def silence(hello, requests, context):
    for _ in requests:
        pass
    yield from ()


def hang_up(hello, requests, context):
    yield welcome(0)


@pytest.mark.parametrize("talk", [
    garbage, impossible_welcome, ack_of_the_future, hang_up, silence])
def test_a_daemon_that_talks_nonsense_harms_nothing(
        daemon, make_job, make_fake, talk):
    fake = make_fake(talk)
    job = make_job(rate=1000)
    wait_for(lambda: fake.streams, what="an attempt")
    began, cpu = time.monotonic_ns(), jobs.cpu_ns(job.relay)
    wait_for(lambda: time.monotonic_ns() - began > 5e8)
    share = (jobs.cpu_ns(job.relay) - cpu) / (time.monotonic_ns() - began)
    fake.stop()

    assert jobs.alive(job.relay) and share < 0.1
    assert fake.streams < 8  # 50, 100, 200, 400 ms
    daemon.start()
    wait_for(lambda: jobs.sequence(daemon, job.id), what="batches come")
    job.finish()
    assert jobs.wait_end(daemon, job.id)["state"] == "finished"
    jobs.check_whole(daemon, job)


def test_a_batch_refused_twice_is_replaced_by_an_empty_one(
        make_job, make_fake):
    taken = []

    def talk(hello, requests, context):
        yield welcome(len(taken))
        for request in requests:
            batch = batch_of(request)
            if batch[1] == 2 and 7 in batch:  # records
                context.abort(grpc.StatusCode.INVALID_ARGUMENT,
                              "records: ends inside a record")
            assert batch[1] == len(taken) + 1
            taken.append(batch)
            yield ack(len(taken))

    make_fake(talk)
    job = make_job(rate=2000, sites=3)
    wait_for(lambda: len(taken) > 6, what="batches after the refused one")
    job.finish()
    job.wait_relay()

    assert set(taken[1]) <= {1, 2, 3, "steps"}  # seq and the two times
    assert 14 in taken[-1]  # the end
    counted = dict(fields(taken[-1][12]))[1]  # losses.events_dropped
    kept = sum(len(batch.get(7, b"")) for batch in taken) // jobs.RECORD.size
    kept += sum(batch["steps"] for batch in taken)
    steps, _, records, _, _ = job.progress()
    assert steps + records == kept + counted
    # What else was in it was said again: the sites, too.
    assert sum(1 for batch in taken if 5 in batch) >= 2
    assert list(job.spool.iterdir()) == []


@needs_root
@pytest.mark.parametrize("spoil", [
    lambda folder: os.chown(folder, 12345, -1),
    lambda folder: os.chmod(folder, 0o777),
    lambda folder: os.chown(folder / "d.sock", 12345, -1),
])
def test_a_socket_that_others_could_have_made_is_not_used(
        daemon, make_job, spoil, folder):
    daemon.start()
    spoil(folder)
    job = make_job(steps=50)
    job.finish()
    job.wait_relay()

    assert "refused: " in job.log() and job.segments()
    assert daemon.rows("SELECT COUNT(*) FROM runs") == [(0,)]


@pytest.mark.parametrize("address,why", [
    ("nonsense", "neither unix:PATH nor HOST:PORT"),
    ("unix:relative", "must be absolute"),
    ("unix:/" + "p" * 200, "a Unix socket allows"),
])
def test_a_bad_address_is_said_and_the_spool_is_kept(make_job, address, why):
    job = make_job(steps=20, env={"INVACT_DAEMON": address})
    assert job.finish() == (0, "no child")
    job.wait_relay(5)
    assert why in job.log() and job.segments()


def test_a_socket_file_that_is_none_is_said(make_job, folder):
    (folder / "d.sock").write_text("")
    job = make_job(steps=20)
    job.finish()
    job.wait_relay(5)
    assert "is no socket" in job.log() and job.segments()


def listen(daemon, *args):
    """Starts it on a free TCP port; the port."""
    daemon.args += ("--listen", *args)
    daemon.start()
    text = wait_for(lambda: [line for line in daemon.log().splitlines()
                             if "answers on " in line and "unix:" not in line])
    return int(text[0].rsplit(":", 1)[1])


def test_over_tcp_only_the_right_token_opens_the_door(
        daemon, make_job, folder):
    for name in ("right", "wrong"):
        path = folder / name
        path.write_text(secrets.token_hex(32))
        path.chmod(0o600)
    port = listen(daemon, "127.0.0.1:0", "--token-file",
                  str(folder / "right"))
    env = {"INVACT_DAEMON": f"127.0.0.1:{port}",
           "http_proxy": "http://127.0.0.1:1"}

    job = make_job(steps=50, env={
        **env, "INVACT_TOKEN_FILE": str(folder / "right")})
    job.finish()
    assert jobs.wait_end(daemon, job.id)["state"] == "finished"
    jobs.check_whole(daemon, job)
    for token, why in (("wrong", "the token is not this daemon's"),
                       ("none", "INVACT_TOKEN_FILE can't be read")):
        stranger = make_job(steps=20, env={
            **env, "INVACT_TOKEN_FILE": str(folder / token)})
        stranger.finish()
        stranger.wait_relay()
        assert why in stranger.log()
        for path in stranger.run_folder.iterdir():
            for secret in ("right", "wrong"):
                assert (folder / secret).read_bytes() not in path.read_bytes()
    assert daemon.rows("SELECT COUNT(*) FROM runs WHERE id != ?",
                       job.id) == [(0,)]


def test_beyond_the_machine_everything_is_encrypted(
        daemon, make_job, folder):
    name = socket.gethostname()
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        pytest.skip("this machine's own name can't be looked up")
    key, cert, token = (folder / n for n in ("key", "cert", "token"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
         "2", "-keyout", key, "-out", cert, "-subj", f"/CN={name}",
         "-addext", f"subjectAltName=DNS:{name}"],
        check=True, capture_output=True)
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    port = listen(daemon, "0.0.0.0:0", "--token-file", str(token),
                  "--tls-cert", str(cert), "--tls-key", str(key))
    env = {"INVACT_DAEMON": f"{name}:{port}", "INVACT_TOKEN_FILE": str(token)}

    job = make_job(steps=50, env={
        **env, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(cert)})
    job.finish()
    assert jobs.wait_end(daemon, job.id)["state"] == "finished"
    # A certificate that nobody vouches for gets nothing, not even the token.
    stranger = make_job(steps=20, env=env)
    stranger.finish()
    stranger.wait_relay()
    assert stranger.segments()
    assert daemon.rows("SELECT COUNT(*) FROM runs") == [(1,)]
