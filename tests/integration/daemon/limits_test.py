"""Quota, full disks, TCP with and without a token, and what is stored of a
job that has secrets."""

import os
import resource
import subprocess

import grpc
import pytest
from rich_errors import error_info
from support import SANITIZED, Relay, wait_for

CANARY = "canary-5f3a9c"


def test_the_quota_drops_the_oldest_events_and_keeps_rows(make_daemon):
    daemon = make_daemon("--quota", "4MiB")
    client = daemon.client()
    relay = Relay(client)
    relay.welcome()
    for step in range(60):
        relay.send_step(step, records=8000)
        relay.wait_ack(relay.seq - 4)
    relay.wait_ack()

    wait_for(lambda: client.call("GetDaemonStatus").events_expired > 0)

    status = client.call("GetDaemonStatus")
    kept = daemon.rows("SELECT SUM(events) FROM batches_v1 WHERE events_kept")
    assert kept[0][0] + status.events_expired == 60 * 8000
    assert daemon.rows("SELECT MIN(seq) > 1, MAX(seq) FROM batches_v1 "
                       "WHERE events_kept") == [(1, 60)]
    assert daemon.rows("SELECT COUNT(*) FROM steps_v1") == [(60,)]
    assert client.call("GetReport", run=relay.id).saved.baseline_bytes == 6000
    assert "quota: dropped the" in daemon.log()


def test_a_full_disk_stops_acknowledgements_and_nothing_else(make_daemon):
    """A limit to the size of a file is what a process sees of a full disk."""
    daemon = make_daemon(start=False)
    daemon.start()
    limit = 3 << 20
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE,
                     (limit, resource.RLIM_INFINITY))
    client = daemon.client()
    relay = Relay(client)
    relay.welcome()
    for step in range(40):
        relay.send_step(step, records=8000)

    wait_for(lambda: client.call("GetDaemonStatus").write_error, seconds=20)
    stored = daemon.rows("SELECT COUNT(*) FROM batches_v1")[0][0]
    assert 0 < stored < 40
    assert client.call("GetRun", run=relay.id).state == "running"
    assert len(client.call("ListRuns").runs) == 1

    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE,
                     (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    relay.wait_ack()
    assert daemon.rows("SELECT COUNT(*), MAX(seq) FROM batches_v1") == [
        (40, 40)]
    assert daemon.rows("PRAGMA integrity_check") == [("ok",)]
    assert client.call("GetDaemonStatus").write_error == ""


def test_thousands_of_idle_streams_are_cheap(daemon):
    client = daemon.client()
    relays = [Relay(client, timeout=120) for _ in range(2000)]
    for relay in relays:
        relay.welcome()
    status = dict(line.split(":", 1) for line in open(
        f"/proc/{daemon.process.pid}/status"))
    assert int(status["Threads"]) < 60
    if not SANITIZED:
        assert int(status["VmRSS"].split()[0]) < 200 * 1024
    assert client.call("GetDaemonStatus").streams == 2000
    relays[1234].send_step(0)
    assert relays[1234].wait_ack(1) == 1
    for relay in relays:
        relay.replies.cancel()
    wait_for(lambda: client.call("GetDaemonStatus").streams == 0)


@pytest.mark.skipif(SANITIZED, reason="measures memory")
def test_oversize_claims_cost_no_memory(daemon):
    client = daemon.client()
    client.call("GetDaemonStatus")

    def resident():
        status = dict(line.split(":", 1) for line in open(
            f"/proc/{daemon.process.pid}/status"))
        return int(status["VmHWM"].split()[0])

    before = resident()
    for _ in range(8):
        relay = Relay(client)
        relay.welcome()
        relay.send(b"\x12" + b"\x80\x80\x80\x80\x08" + b"x" * (16 << 20))
        assert relay.end()[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert resident() - before < 32 * 1024


def test_tcp_asks_for_the_token_and_the_socket_does_not(make_daemon, folder):
    token = "t" * 32
    path = folder / "token"
    path.write_text(token)
    path.chmod(0o600)
    daemon = make_daemon("--listen", "127.0.0.1:0", "--token-file", path)
    local = daemon.client()
    address = [a for a in local.call("GetDaemonStatus").listeners
               if not a.startswith("unix:")][0]

    allowed = daemon.client(address, token=token)
    assert allowed.call("GetDaemonStatus").pid == daemon.process.pid
    for wrong in (None, "t" * 31, "u" * 32):
        stranger = daemon.client(address, token=wrong)
        with pytest.raises(grpc.RpcError) as caught:
            stranger.call("ListRuns")
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert "INVACT_TOKEN_FILE" in error_info(caught.value)[0]
        with pytest.raises(grpc.RpcError):
            list(stranger.watch(run="x"))
        relay = Relay(stranger)
        assert relay.end()[0] == grpc.StatusCode.UNAUTHENTICATED
    assert token not in daemon.log()


def test_a_certificate_is_asked_for_beyond_this_machine(make_daemon, folder):
    key, cert, token = folder / "k.pem", folder / "c.pem", folder / "token"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out",
         cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost"],
        check=True, capture_output=True)
    token.write_text("s" * 40)
    token.chmod(0o600)
    daemon = make_daemon("--listen", "0.0.0.0:0", "--token-file", token,
                         "--tls-cert", cert, "--tls-key", key)
    address = [a for a in daemon.client().call("GetDaemonStatus").listeners
               if not a.startswith("unix:")][0]
    port = address.rsplit(":", 1)[1]
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    client = daemon.client(f"localhost:{port}", credentials=credentials,
                           token="s" * 40)
    assert client.call("GetDaemonStatus").pid == daemon.process.pid
    plain = grpc.insecure_channel(f"localhost:{port}")
    with pytest.raises(grpc.RpcError):
        plain.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)
    plain.close()


def test_secrets_of_a_job_are_in_no_file_log_or_reply(make_daemon, folder,
                                                      monkeypatch):
    monkeypatch.setenv("JOB_SECRET", CANARY)
    token = folder / "token"
    token.write_text(CANARY * 3)
    token.chmod(0o600)
    daemon = make_daemon("--listen", "127.0.0.1:0", "--token-file", token,
                         "--log", "debug")
    client = daemon.client()
    relay = Relay(client, secret=(CANARY + "-secret!!").encode())
    relay.welcome()
    request = relay.send_step(0, records=3)
    relay.send(request)
    # A message that is refused is not quoted.
    relay.wait_ack(1)
    bad = Relay(client)
    bad.welcome()
    spoiled = bad.batch()
    spoiled.batch.end.state = CANARY
    bad.send(spoiled)
    bad.end()
    replies = [client.call(method, **fields) for method, fields in (
        ("ListRuns", {}), ("GetRun", dict(run=relay.id)),
        ("GetReport", dict(run=relay.id)), ("ListLayers", dict(run=relay.id)),
        ("QueryTimeline", dict(run=relay.id, events=True)),
        ("GetDaemonStatus", {}))]
    daemon.stop()

    for reply in replies:
        assert CANARY not in str(reply)
    searched = [f for f in daemon.state.rglob("*") if f.is_file()]
    assert {"invact.db", "invactd.log"} <= {f.name for f in searched}
    for file in searched:
        assert CANARY.encode() not in file.read_bytes(), file
        assert os.stat(file).st_mode & 0o077 == 0
