"""invact daemon, and the daemon that starts by itself."""

import json
import os
import shutil
import socket
import stat
import subprocess

import pytest

from place import INVACT, alive, wait_for


def test_a_verb_starts_a_daemon_that_leaves_by_itself(place):
    assert place.ok("ls") == ""

    pid = place.daemon_pid()
    arguments = open(f"/proc/{pid}/cmdline").read().split("\0")
    assert arguments[arguments.index("--idle-exit") + 1] == "900"
    assert stat.S_IMODE(os.stat(place.socket.parent).st_mode) == 0o700


def test_a_started_daemon_keeps_nothing_of_its_starter(place):
    # A pipe that it kept would leave this call without an end.
    done = subprocess.run([INVACT, "ls"], env=place.environment(),
                          capture_output=True, timeout=60, cwd=place.folder)
    assert done.returncode == 0, done.stderr

    pid = place.daemon_pid()
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    for fd in "0", "1":
        assert os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null"
    assert os.getsid(pid) != os.getsid(0)
    assert os.getpgid(pid) != os.getpgid(0)


def test_ten_verbs_at_once_start_one_daemon(place):
    verbs = [place.start("daemon", "start", "--json") for _ in range(10)]
    out = [json.loads(v.communicate(timeout=60)[0]) for v in verbs]

    assert [v.returncode for v in verbs] == [0] * 10
    assert len({o["pid"] for o in out}) == 1


def test_stop_returns_when_the_process_is_gone(place):
    place.ok("daemon", "start")
    pid = place.daemon_pid()

    place.ok("daemon", "stop")

    assert not alive(pid)
    assert not place.socket.exists()
    # And a new one comes at once.
    place.ok("daemon", "start")
    assert place.daemon_pid() != pid


def test_stop_without_a_daemon_is_no_error(place):
    done = place("daemon", "stop")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no daemon runs" in done.stderr
    assert place.json("daemon", "stop") == {
        "schema": "invact.daemon/v1", "running": False, "stopped": False}


def test_status_tells_of_the_daemon_and_starts_none(place):
    error = place.error("daemon", "status", code=5)
    assert error["code"] == "unreachable"
    assert error["next"] == "start one with: invact daemon start"
    assert not place.answers()

    place.ok("daemon", "start")
    status = place.json("daemon", "status")
    assert status["schema"] == "invact.daemon/v1"
    assert status["database_path"] == str(place.state / "invact.db")
    assert status["quota_bytes"] == 10 << 30
    text = place.ok("daemon", "status")
    assert "10 GiB" in text and str(place.state) in text


def test_start_again_says_so(place):
    place.ok("daemon", "start")
    pid = place.daemon_pid()

    again = place("daemon", "start")

    assert again.returncode == 0 and "runs already" in again.stderr
    assert place.daemon_pid() == pid
    listen = place("daemon", "start", "--listen", "127.0.0.1:0")
    assert listen.returncode == 1 and "daemon stop" in listen.stderr


def test_a_token_is_asked_for_over_tcp(place):
    token = place.folder / "token"
    token.write_text("0123456789abcdef-secret")
    token.chmod(0o600)
    # A relative path: the daemon lives in another folder.
    place.ok("daemon", "start", "--listen", "127.0.0.1:0", "--token-file",
             "token")
    listeners = place.json("daemon", "status")["listeners"]
    address = next(a for a in listeners if a.startswith("127."))

    with_token = place("ls", "--json", env={
        "INVACT_DAEMON": address, "INVACT_TOKEN_FILE": token})
    without = place("ls", env={"INVACT_DAEMON": address})

    assert with_token.returncode == 0, with_token.stderr
    assert without.returncode == 1
    assert "INVACT_TOKEN_FILE" in without.stderr


def test_beyond_this_machine_the_token_goes_encrypted(place):
    name = socket.gethostname()
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        pytest.skip("this machine's own name can't be looked up")
    key, cert, token = (place.folder / n for n in ("key", "cert", "token"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out",
         cert, "-days", "2", "-subj", f"/CN={name}", "-addext",
         f"subjectAltName=DNS:{name}"], check=True, capture_output=True)
    token.write_text("0123456789abcdef-secret")
    token.chmod(0o600)
    place.ok("daemon", "start", "--listen", "0.0.0.0:0", "--token-file",
             "token", "--tls-cert", "cert", "--tls-key", "key")
    port = place.json("daemon", "status")["listeners"][1].rsplit(":", 1)[1]
    env = {"INVACT_DAEMON": f"{name}:{port}", "INVACT_TOKEN_FILE": token}

    trusted = place("ls", "--json", env={
        **env, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": cert})
    stranger = place("ls", env=env)

    assert trusted.returncode == 0, trusted.stderr
    assert stranger.returncode == 5, stranger.stderr


def test_an_open_listener_without_tls_is_refused(place):
    done = place("daemon", "start", "--listen", "0.0.0.0:0")
    assert done.returncode != 0
    assert "--tls-cert" in done.stderr
    assert not place.answers()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "unix:/tmp/none/d.sock"])
def test_a_given_address_that_does_not_answer_is_5(place, address):
    error = place.error("ls", code=5, env={"INVACT_DAEMON": address})
    assert error["code"] == "unreachable"
    assert address in error["message"]
    assert "INVACT_DAEMON" in error["next"]
    assert not place.answers()


@pytest.mark.parametrize("address", [
    "nonsense", "unix:relative/d.sock", "host:0", "unix:/" + "x" * 120])
def test_a_bad_address_is_a_usage_error(place, address):
    error = place.error("ls", code=2, env={"INVACT_DAEMON": address})
    assert "INVACT_DAEMON" in error["message"]


def test_a_daemon_that_cannot_start_says_why(place):
    place.state.mkdir(mode=0o755)
    place.state.chmod(0o755)

    done = place("ls")

    assert done.returncode == 5
    assert f"chmod 700 {place.state}" in done.stderr


def test_without_invactd_beside_it_nothing_can_be_started(place):
    alone = place.folder / "alone"
    alone.mkdir()
    os.link(INVACT, alone / "invact") if (
        os.stat(INVACT).st_dev == os.stat(alone).st_dev) else (
            subprocess.run(["cp", INVACT, alone / "invact"], check=True))

    done = subprocess.run([alone / "invact", "ls"], env=place.environment(),
                          capture_output=True, text=True, timeout=60)

    assert done.returncode == 5 and "no invactd" in done.stderr


def test_a_daemon_killed_without_a_word_is_replaced(place):
    place.ok("daemon", "start")
    pid = place.daemon_pid()
    os.kill(pid, 9)
    wait_for(lambda: not alive(pid))
    assert place.socket.exists()

    assert place.ok("ls") == ""
    assert place.daemon_pid() != pid


def test_nothing_is_sent_to_a_socket_of_somebody_else(place):
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    place.folder.chmod(0o711)
    path = place.folder / "theirs.sock"
    script = ("import os, socket, sys\n"
              "s = socket.socket(socket.AF_UNIX)\n"
              f"s.bind({str(path)!r})\n"
              "s.listen()\n"
              "os.setuid(65534)\n"
              "s.listen()\n"
              "print('up', flush=True)\n"
              "c, _ = s.accept()\n"
              "print(len(c.recv(100)), flush=True)\n")
    with subprocess.Popen(["python3", "-c", script], stdout=subprocess.PIPE,
                          text=True) as theirs:
        assert theirs.stdout.readline() == "up\n"
        done = place("ls", env={"INVACT_DAEMON": f"unix:{path}"})
        assert done.returncode == 1 and "uid 65534" in done.stderr
        assert theirs.stdout.readline() == "0\n"


def test_garbage_behind_the_socket_is_unreachable(place):
    path = place.folder / "g.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        waiting = place.start("ls", env={"INVACT_DAEMON": f"unix:{path}"})
        for _ in range(2):
            peer, _ = server.accept()
            with peer:
                try:
                    peer.sendall(b"HTTP/1.0 400 no\r\n\r\n")
                except OSError:
                    pass
        _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 5, err
    assert str(path) in err


def test_the_daemon_that_run_starts_is_init_s_child(place):
    place.ok("run", "--policy", "none", "--", "true")
    stat = open(f"/proc/{place.daemon_pid()}/stat").read()
    parent = int(stat.rsplit(")", 1)[1].split()[1])
    comm = open(f"/proc/{parent}/comm").read()
    assert comm.strip() != "invact"
