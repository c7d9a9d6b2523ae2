"""Signals and the terminal under invact run."""

import contextlib
import os
import pathlib
import pty
import signal
import subprocess
import sys
import textwrap

import pytest

from place import INVACT, Screen, alive, children, wait_for

# Prints "up", then the name of each signal that it gets; USR2 ends it.
COUNTS = textwrap.dedent("""
    import os, signal, sys
    got = []
    def note(number, frame):
        os.write(1, (signal.Signals(number).name + "\\n").encode())
    for number in (1, 2, 10, 15, 18):
        signal.signal(number, note)
    signal.pthread_sigmask(signal.SIG_BLOCK, [12])
    os.write(1, b"up %d\\n" % os.getpid())
    while True:
        if signal.sigtimedwait([12], 0.05):
            break
    sys.exit(9)
""")


def start(place, **kwargs):
    process = place.start("run", "--policy", "none", "--", sys.executable,
                          "-c", COUNTS, **kwargs)
    up, pid = process.stdout.readline().split()
    assert up == "up"
    return process, int(pid)


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "CONT"])
def test_a_signal_to_invact_reaches_the_command_once(shared, name):
    process, _ = start(shared, start_new_session=True)
    process.send_signal(signal.Signals[f"SIG{name}"])
    assert process.stdout.readline() == f"SIG{name}\n"

    process.send_signal(signal.SIGUSR2)
    out, _ = process.communicate(timeout=30)

    assert out == ""
    assert process.returncode == 9


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1"])
def test_a_signal_to_the_whole_group_reaches_the_command_once(shared, name):
    process, _ = start(shared, start_new_session=True)
    for _ in range(3):
        before = children(process.pid)
        os.killpg(process.pid, signal.Signals[f"SIG{name}"])
        assert process.stdout.readline() == f"SIG{name}\n"
        # Its witness is a new one: it has dealt with the signal.
        wait_for(lambda: len(now := children(process.pid)) == 2
                 and now != before)

    process.send_signal(signal.SIGUSR2)
    out, _ = process.communicate(timeout=30)

    assert out == ""
    assert process.returncode == 9


def test_killing_the_group_leaves_nothing(shared):
    process, command = start(shared, start_new_session=True)
    started = children(process.pid)
    assert command in started
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    for pid in started:
        wait_for(lambda pid=pid: not alive(pid), what=f"{pid} is gone")


def test_a_killed_invact_leaves_the_command_alone(shared):
    process, command = start(shared, start_new_session=True)
    witness = next(x for x in children(process.pid) if x != command)
    process.kill()
    process.wait(timeout=30)
    wait_for(lambda: not alive(witness), what="the witness is gone")
    assert alive(command)
    os.kill(command, signal.SIGUSR2)
    process.communicate(timeout=30)
    wait_for(lambda: not alive(command))


def test_what_nohup_ignores_stays_ignored(shared):
    job = ("import signal; print(signal.getsignal(signal.SIGHUP).name, "
           "signal.getsignal(signal.SIGPIPE).name, "
           "signal.pthread_sigmask(signal.SIG_BLOCK, []))")
    done = subprocess.run(
        ["nohup", INVACT, "run", "--policy", "none", "--", sys.executable,
         "-c", job], env=shared.environment(), capture_output=True, text=True,
        timeout=60, stdin=subprocess.DEVNULL)
    assert done.stdout == "SIG_IGN SIG_IGN set()\n"  # Python ignores PIPE


def test_an_exit_code_survives_an_ignored_sigchld(shared):
    script = ("import os, signal, sys\n"
              "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
              "os.execv(sys.argv[1], sys.argv[1:])\n")
    done = subprocess.run(
        [sys.executable, "-c", script, INVACT, "run", "--policy", "none",
         "--", "sh", "-c", "exit 5"], env=shared.environment(), timeout=60,
        capture_output=True)
    assert done.returncode == 5


def in_terminal(place, program, *arguments):
    """Starts it in the foreground of a terminal of its own: pid, Screen."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(program, [str(program), *arguments],
                  place.environment(PS1="$ ", TERM="dumb"))
    return pid, Screen(fd)


def run_in_terminal(place, *command):
    return in_terminal(place, INVACT, "run", "--policy", "none", "--",
                       *command)


def code_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_ctrl_c_reaches_the_command_once(shared):
    pid, screen = run_in_terminal(shared, sys.executable, "-c", COUNTS)
    screen.read_until("up ")
    screen.type("\x03")
    screen.read_until("SIGINT")
    os.kill(pid, signal.SIGUSR2)
    screen.read_to_the_end()
    assert code_of(pid) == 9
    assert screen.seen.count("SIGINT") == 1


def test_the_command_reads_from_the_terminal(shared):
    pid, screen = run_in_terminal(shared, "sh", "-c",
                                  "read line; echo got $line")
    screen.type("words\n")
    screen.read_until("got words")
    screen.read_to_the_end()
    assert code_of(pid) == 0


def stopped(session, command):
    """Whether the terminal's process of that name is."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            name, fields = stat.read_text().rsplit(")", 1)
            fields = fields.split()
            if int(fields[3]) == session and name.endswith(f"({command}"):
                return fields[0] == "T"
    return False


def test_ctrl_z_stops_and_a_shell_can_continue(shared):
    # Without readline: it takes keys away while it sets the terminal up.
    pid, screen = in_terminal(shared, "/bin/bash", "--norc", "--noprofile",
                              "--noediting", "-i")
    screen.type(f"{INVACT} run --policy none -- sh -c "
                "'echo be''gun; read x; echo got-$x'\n")
    screen.read_until("begun")
    screen.type("\x1a")
    screen.read_until("Stopped")
    screen.read_until("$ ")
    # Bash waits for its own child alone: the job behind it, not stopped yet,
    # would still read a key.
    wait_for(lambda: stopped(pid, "sh"))
    screen.type("fg\n")
    screen.read_until("got-$x'")
    screen.type("words\n")
    screen.read_until("got-words")
    screen.type("exit\n")
    screen.read_to_the_end()
    assert code_of(pid) == 0
