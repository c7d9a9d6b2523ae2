"""invact run: the job ends as it would have ended alone, and its run is told
of."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

import pytest

from place import INVACT, LIBRARY, alive, children, wait_for

# A job that does what plugin and relay would do, without torch.
JOB = textwrap.dedent("""
    import os, sys
    sys.path[:0] = {paths!r}
    os.environ["INVACT_BIN_DIR"] = ""  # support.py wants to know it
    from support import Client, Relay
    client = Client("unix:" + {socket!r})
    run = dict(job_id=os.environ["INVACT_JOB_ID"], pid=os.getpid(),
               host=os.uname().nodename, name="fake.py")
    relay = Relay(client, **run)
    relay.welcome()
    relay.send_step(0, end={end!r})
    relay.wait_ack()
    relay.finish()
    print(relay.id, flush=True)
    {then}
""")


def fake_job(place, then="", end=("finished", "exit")):
    paths = [str(pathlib.Path(__file__).parents[1] / "daemon")]
    return [sys.executable, "-c", JOB.format(
        paths=paths, socket=str(place.socket), end=end, then=then)]


def sh(script):
    return "sh", "-c", script


@pytest.mark.parametrize("command,code", [
    (sh("exit 0"), 0),
    (sh("exit 3"), 3),
    (sh("exit 125"), 125),
    (sh("exit 255"), 255),
    (sh("kill -TERM $$"), -signal.SIGTERM),
    (sh("kill -KILL $$"), -signal.SIGKILL),
    (sh("kill -SEGV $$"), -signal.SIGSEGV),
    (sh("kill -INT $$"), -signal.SIGINT),
    (sh("kill -PIPE $$"), -signal.SIGPIPE),
    (("no-such-program",), 127),
    (("./no/such/program",), 127),
    (("/etc/passwd",), 126),
    (("/",), 126),
])
def test_ends_as_its_command_ends(shared, command, code):
    assert shared("run", "--", *command).returncode == code


def test_ends_as_its_command_ends_without_any_daemon(place):
    # A state that no daemon accepts.
    place.state.mkdir()
    place.state.chmod(0o755)
    for command, code in [(sh("exit 3"), 3), (sh("kill -9 $$"), -9),
                          (sh("echo out; exit 0"), 0)]:
        done = place("run", "--", *command)
        assert done.returncode == code
        assert "the job runs" in done.stderr
    assert done.stdout == "out\n"


def test_a_daemon_that_dies_meanwhile_is_replaced_for_the_run(place):
    place.ok("daemon", "start")
    before = place.daemon_pid()
    script = fake_job(place, f"os.kill({before}, 9); sys.exit(7)")

    done = place("run", "--", *script)

    assert done.returncode == 7
    assert place.daemon_pid() != before
    run = place.json("ls")["runs"][0]
    assert (run["id"], run["exit_code"]) == (done.stdout.strip(), 7)


def test_an_address_that_does_not_answer_does_not_stop_the_job(place):
    done = place("run", "--", *sh("exit 4"),
                 env={"INVACT_DAEMON": "127.0.0.1:1"})
    assert done.returncode == 4
    assert "127.0.0.1:1" in done.stderr


def test_not_found_and_not_executable_say_which_and_why(shared):
    missing = shared("run", "--", "no-such-program")
    assert missing.stderr == (
        "invact: cannot run no-such-program: No such file or directory\n")
    denied = shared("run", "--", "/etc/passwd")
    assert denied.stderr == (
        "invact: cannot run /etc/passwd: Permission denied\n")


@pytest.mark.parametrize("arguments,text", [
    (["--policy", "inver"], "did you mean invert?"),
    (["--policy", ""], "unknown policy"),
    (["--policy", "offloading"], 'unknown policy "offloading"; There are:'),
    (["--policy", "rebuild,foo"], 'unknown policy "foo" in "rebuild,foo"'),
    (["--policy", "rebuild+invret"], "did you mean invert?"),
    (["--policy", "rebuild+rebuild"], "give --policy rebuild\n"),
    (["--policy", "rebuild, checkpoint"],
     "invact compare --policies rebuild,checkpoint -- COMMAND"),
    (["--budget", "40GB"], "write 40GiB"),
    (["--budget", "40G"], "write 40GiB"),
    (["--budget", "much"], "10GiB"),
    (["--plan", "./no-such-plan"], "can't be read"),
    (["--polciy", "invert"], "--help"),
])
def test_a_bad_value_is_refused_before_the_command_starts(
        shared, arguments, text):
    done = shared("run", *arguments, "--", "touch", "started")
    assert done.returncode == 2
    assert text in done.stderr
    assert not (shared.folder / "started").exists()


@pytest.mark.parametrize("environment,arguments,text", [
    ({"INVACT_POLICY": "rebuild,invert"}, [], "names several"),
    ({"INVACT_POLICY": "rebiuld"}, [], "did you mean rebuild?"),
    ({"INVACT_BITS": "mantissa"}, ["--exact"], "unset one of the two"),
    ({"INVACT_BITS": "mantissa", "INVACT_EXACT": "1"}, [],
     "unset one of the two"),
])
def test_a_bad_variable_is_refused_before_the_command_starts(
        shared, environment, arguments, text):
    done = shared("run", *arguments, "--", "touch", "begun", env=environment)
    assert done.returncode == 2
    assert text in done.stderr
    assert not (shared.folder / "begun").exists()


def test_an_option_overrules_a_bad_variable(shared):
    done = shared("run", "--policy", "none", "--", *sh("exit 3"),
                  env={"INVACT_POLICY": "rebuild,invert"})
    assert done.returncode == 3
    assert done.stderr == "invact: no run began: policy none leaves the job alone\n"


def test_no_command_is_a_usage_error(shared):
    for arguments in [], ["--"], ["--policy", "observe"]:
        done = shared("run", *arguments)
        assert done.returncode == 2
        assert "invact run -- python train.py" in done.stderr


def test_without_the_library_it_is_125(place):
    for folder in "lonely", "lonely/bin":
        (place.folder / folder).mkdir()
    alone = place.folder / "lonely/bin/invact"
    subprocess.run(["cp", INVACT, alone], check=True)

    done = subprocess.run([alone, "run", "--", "touch", "started"],
                          env=place.environment(), cwd=place.folder,
                          capture_output=True, text=True, timeout=60)

    assert done.returncode == 125
    assert "libinvact.so" in done.stderr
    assert not (place.folder / "started").exists()


def test_the_command_gets_its_variables_and_arguments(shared):
    out = shared.ok(
        "run", "--policy", "observe", "--exact", "--budget", "2GiB", "--name",
        "my run", "--plan", "p1", "--", sys.executable, "-c",
        "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv]))",
        "--help", "--", "--json", "a b", env={"LD_PRELOAD": "/old/lib.so"})
    environment, arguments = json.loads(out)
    expected = {
        "LD_PRELOAD": f"{LIBRARY}:/old/lib.so", "INVACT_POLICY": "observe",
        "INVACT_EXACT": "1", "INVACT_BUDGET": "2GiB",
        "INVACT_RUN_NAME": "my run", "INVACT_PLAN": "p1"}
    assert {k: environment.get(k) for k in expected} == expected
    assert environment["INVACT_JOB_ID"].startswith("job-")
    assert arguments[1:] == ["--help", "--", "--json", "a b"]


def test_what_was_not_asked_for_is_not_set(shared):
    out = shared.ok("run", "printenv",
                    env={"INVACT_POLICY": "observe", "INVACT_JOB_ID": "mine"})
    lines = out.splitlines()
    assert "INVACT_POLICY=observe" in lines and "INVACT_JOB_ID=mine" in lines
    assert f"LD_PRELOAD={LIBRARY}" in lines
    ours = [x for x in lines if x.startswith("INVACT_")]
    assert len(ours) == 3, ours  # and INVACT_STATE_DIR of the test


@pytest.mark.parametrize("env,command,expected", [
    ({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}, ["printenv"], None),
    ({"TORCHELASTIC_RUN_ID": "abc"}, ["printenv"], None),
    ({}, [*sh("printenv"), "--rdzv-id=x"], None),
    ({}, [*sh("printenv"), "--rdzv_id", "x"], None),
    ({}, [*sh("printenv"), "--rdzv-id=none"], "job-"),
    ({"SLURM_JOB_ID": "7"}, ["printenv"], "slurm-7-"),
    ({"TORCHELASTIC_RUN_ID": "none"}, ["printenv"], "job-"),
])
def test_a_job_that_has_an_id_keeps_it(shared, env, command, expected):
    out = shared("run", "--", *command, env=env).stdout
    ids = [x.split("=", 1)[1] for x in out.splitlines()
           if x.startswith("INVACT_JOB_ID=")]
    assert (ids == []) if expected is None else ids[0].startswith(expected)


def test_stdout_is_the_command_s_alone_and_input_reaches_it(shared):
    done = shared("run", "--json", "--", "cat", input="to and fro")
    assert (done.returncode, done.stdout) == (0, "to and fro")


def test_a_captured_run_ends_with_the_job(place):
    # Also where this run starts the daemon, which lives on.
    began = time.monotonic()
    done = subprocess.run([INVACT, "run", "--", "echo", "hi"],
                          env=place.environment(), capture_output=True,
                          text=True, timeout=60)
    assert done.stdout == "hi\n"
    assert time.monotonic() - began < 30
    assert place.answers()


def test_the_parent_s_knowledge_is_stored(shared):
    for then, expected in [("sys.exit(3)", (3, None)),
                           ("os.kill(os.getpid(), 9)", (None, 9))]:
        done = shared("run", "--", *fake_job(shared, then))
        run_id = done.stdout.strip()
        runs = shared.json("ls")["runs"]
        run = next(r for r in runs if r["id"] == run_id)
        assert (run["exit_code"], run["signal"]) == expected
        assert done.returncode == (expected[0] or -9)
        assert "no run began" not in done.stderr


@pytest.fixture
def slow_relay(shared):
    """A job whose relay lives on after it; prints the relay's pid."""
    relay = pathlib.Path(tempfile.mkdtemp(dir=shared.folder)) / "invact-relay"
    shutil.copy(shutil.which("sleep"), relay)
    started = []

    def start():
        process = shared.start(
            "run", "--", *sh(f"{relay} 60 > /dev/null 2>&1 & echo $!; exit 3"))
        started.append(int(process.stdout.readline()))
        return process, started[-1]

    yield start
    for pid in started:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_waits_for_the_relay_to_deliver(slow_relay):
    process, relay = slow_relay()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    os.kill(relay, signal.SIGKILL)
    # Its spool may still be adopted; a signal says not to wait for that.
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 3


def test_waits_no_longer_than_ten_seconds(slow_relay):
    began = time.monotonic()
    process, _ = slow_relay()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert 9 < time.monotonic() - began < 25
    assert "still on its way" in err


def test_a_signal_ends_the_waiting(slow_relay):
    process, _ = slow_relay()
    wait_for(lambda: not children(process.pid), what="the job has ended")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=8)
    assert process.returncode == 3, err


@pytest.mark.parametrize("env,command,reason", [
    ({}, ["true"], "torch was never imported"),
    ({"INVACT_DISABLE": "1"}, ["true"], "INVACT_DISABLE=1"),
    ({"INVACT_POLICY": "none"}, ["true"], "policy none"),
    ({}, [sys.executable, "-S", "-I", "-c", ""], "no run began"),
])
def test_why_no_run_began(shared, env, command, reason):
    done = shared("run", "--", *command, env=env)
    assert done.returncode == 0
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_python_without_torch_is_named(shared):
    folder = shared.folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder],
                   check=True, timeout=60)
    python = folder / "bin" / "python"
    done = shared("run", "--", python, "-c", "pass")
    assert f"{python} has none" in done.stderr


def test_a_torch_without_a_plugin_is_named(shared):
    folder = shared.folder / "site" / "torch"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "version.py").write_text("__version__ = '1.13.1+cpu'\n")
    done = shared("run", "--", sys.executable, "-c", "pass",
                  env={"PYTHONPATH": folder.parent})
    assert "no plugin for torch 1.13.1+cpu" in done.stderr
    assert "scripts/setup --torch 1.13.1" in done.stderr


def test_a_job_that_drops_the_preload_is_told_so(shared):
    docker = shared.folder / "docker"
    docker.write_text("#!/bin/sh\nexit 0\n")
    docker.chmod(0o755)
    done = shared("run", "--", docker)
    assert "LD_PRELOAD was lost" in done.stderr


def test_errors_of_run_are_json_on_request(shared):
    error = shared.error("run", "--policy", "inver", "--", "true", code=2)
    assert error["code"] == "usage" and "invert" in error["message"]


def test_env_and_unset_give_the_shell_back_as_it_was(shared):
    for before in None, "/a b.so", "/x.so:/y.so", f"{LIBRARY}":
        env = {"LD_PRELOAD": before}
        script = ('before=${LD_PRELOAD-none}; '
                  f'eval "$({INVACT} env)"; eval "$({INVACT} env)"; '
                  'echo "$LD_PRELOAD"; '
                  f'eval "$({INVACT} env --unset)"; echo "${{LD_PRELOAD-none}}"')
        out = subprocess.run(["sh", "-c", script], capture_output=True,
                             env=shared.environment(**env), text=True,
                             timeout=60, check=True).stdout.splitlines()
        others = {None: [], f"{LIBRARY}": [], "/a b.so": ["/a", "b.so"],
                  "/x.so:/y.so": ["/x.so", "/y.so"]}[before]
        assert out == [":".join([str(LIBRARY), *others]),
                       ":".join(others) or "none"]


def test_env_is_safe_to_evaluate_wherever_invact_is(place):
    for folder in "bin", "lib":
        (place.folder / "it's $HOME" / folder).mkdir(parents=True)
    root = place.folder / "it's $HOME"
    subprocess.run(["cp", INVACT, root / "bin"], check=True)
    subprocess.run(["cp", LIBRARY, root / "lib"], check=True)

    blank = subprocess.run([root / "bin/invact", "env"], capture_output=True,
                           env=place.environment(), text=True, timeout=60)
    assert blank.returncode == 1 and "blank" in blank.stderr

    root = root.rename(place.folder / "it's$HOME")
    printed = subprocess.run([root / "bin/invact", "env"], text=True,
                             env=place.environment(), capture_output=True,
                             timeout=60).stdout
    out = subprocess.run(["sh", "-c", printed + "echo \"$LD_PRELOAD\""],
                         capture_output=True, text=True, timeout=60,
                         env=place.environment())
    assert out.stdout == f"{root}/lib/libinvact.so\n"


def test_env_as_json(shared):
    assert shared.json("env") == {"schema": "invact.env/v1", "set": {
        "LD_PRELOAD": str(LIBRARY)}, "unset": []}
    assert shared.json("env", "--unset") == {
        "schema": "invact.env/v1", "set": {}, "unset": ["LD_PRELOAD"]}
