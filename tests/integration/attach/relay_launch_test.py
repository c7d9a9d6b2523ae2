"""The relay is started without the job noticing, and takes nothing of the
job's with it."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import job
from attach_support import JOBS, HERE, PRELOAD, RELAY, fake_install


@pytest.mark.parametrize("how", ["plain", "reaper"])
def test_the_job_sees_only_its_own_children(place, how):
    done = place.attached(JOBS / "waits.py", how)

    assert len(done.starts) == 1
    assert done.answer == {
        "before": "no child", "signals": [], "children": [], "own": True,
        "code": 3, "after": "no child", "run": 0}


@pytest.fixture(scope="module")
def fake(place):
    """What a relay finds when it is started, and what its job printed."""
    preload = fake_install(place.folder / "fake", relay=False)
    relay = preload.parents[1] / "bin" / RELAY.name
    relay.write_text((HERE / "fake_relay.py").read_text(encoding="utf-8")
                     .replace("/usr/bin/python3", sys.executable, 1),
                     encoding="utf-8")
    relay.chmod(0o755)
    says = place.folder / "relay-says"
    command = [sys.executable, str(JOBS / "inheritance.py"),
               str(place.folder / "data")]
    script = ("import os, signal, sys; signal.signal(signal.SIGHUP, "
              "signal.SIG_IGN); signal.pthread_sigmask(signal.SIG_BLOCK, "
              "[signal.SIGUSR1]); os.execv(sys.argv[1], sys.argv[1:])")
    done = place.attached(
        "-c", script, *command, preload=preload,
        env={"FAKE_RELAY_SAYS": str(says), "LD_LIBRARY_PATH": "/nowhere",
             "CUDA_INJECTION64_PATH": str(preload)})
    assert done.returncode == 0, done.stderr
    written = pathlib.Path(f"{says}!")
    for _ in job.until(30):
        if written.exists():
            break
    return json.loads(written.read_text(encoding="utf-8")), done.answer


def test_the_relay_has_the_shared_memory_and_no_descriptor_of_the_job(fake):
    relay, _ = fake

    descriptors = dict(relay["descriptors"])
    assert [descriptors.pop(str(n)) for n in range(3)] == ["/dev/null"] * 3
    assert descriptors.pop("3").startswith("/memfd:invact")
    # The script that stands for the relay is open in its interpreter.
    assert [target for target in descriptors.values()
            if not target.endswith(RELAY.name)] == []


def test_the_relay_stands_alone(fake):
    relay, of_the_job = fake

    assert relay["session"] == relay["pid"] != of_the_job["session"]
    assert relay["parent"] != of_the_job["pid"]
    assert relay["arguments"][:2] == [str(of_the_job["pid"]), "3"]


def test_the_relay_s_environment_loads_nothing(fake):
    relay, _ = fake

    assert not {"LD_PRELOAD", "CUDA_INJECTION64_PATH",
                "LD_LIBRARY_PATH"} & set(relay["environment"])
    assert {"HOME", "PATH", "INVACT_STATE_DIR"} <= set(relay["environment"])


def test_the_relay_ignores_and_blocks_no_signal_that_the_job_does(fake):
    relay, _ = fake

    assert relay["blocked"] == []
    # Python itself ignores these two.
    assert set(relay["ignored"]) <= {signal.SIGPIPE, signal.SIGXFSZ}


def test_reading_the_job_s_output_ends_with_the_job(place):
    """A relay that kept the pipe would hold subprocess.run() for as long as it
    runs: it is stopped here, so that it can't end by chance."""
    environment = place.environment(LD_PRELOAD=str(PRELOAD))
    with subprocess.Popen(
            [sys.executable, str(JOBS / "inheritance.py"),
             str(place.folder / "data2"), "wait"],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True) as process:
        pid = json.loads(process.stdout.readline())["pid"]
        relay = wait_for_relay_of(pid)
        os.kill(relay, signal.SIGSTOP)
        try:
            begin = time.monotonic()
            process.communicate(timeout=30)
            assert process.returncode == 0
            assert time.monotonic() - begin < 20
            assert pathlib.Path(f"/proc/{relay}").exists()
        finally:
            os.kill(relay, signal.SIGCONT)
        wait_until_gone(relay)


def wait_for_relay_of(pid):
    """The relay's process number."""
    for _ in job.until(30):
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it ended
            if arguments[0].endswith(b"invact-relay") and arguments[
                    1] == str(pid).encode():
                return int(folder.name)
    raise AssertionError(f"no relay of {pid} within 30 s")


def wait_until_gone(pid):
    for _ in job.until(30):
        if not pathlib.Path(f"/proc/{pid}").exists():
            return
    raise AssertionError(f"process {pid} is there after 30 s")
