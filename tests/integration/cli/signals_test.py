"""Signals and the terminal under invact run."""

import os
import pty
import signal
import subprocess
import sys
import textwrap

import pytest

from place import INVACT, alive, children, wait_for

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


class Terminal:
    """invact run in the foreground of a terminal of its own."""

    def __init__(self, place, *command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(INVACT, ["invact", "run", "--policy", "none", "--",
                               *command], place.environment())
        self.text = ""

    def read_until(self, text):
        while text not in self.text:
            self.text += os.read(self.fd, 4096).decode()
        seen, self.text = self.text.split(text, 1)
        return seen

    def end(self):
        try:
            while True:
                more = os.read(self.fd, 4096).decode()
                if not more:
                    break
                self.text += more
        except OSError:
            pass  # the terminal's last process is gone
        os.close(self.fd)
        return os.waitpid(self.pid, 0)[1]


def test_ctrl_c_reaches_the_command_once(shared):
    terminal = Terminal(shared, sys.executable, "-c", COUNTS)
    terminal.read_until("up ")
    os.write(terminal.fd, b"\x03")
    terminal.read_until("SIGINT")
    os.kill(terminal.pid, signal.SIGUSR2)
    status = terminal.end()
    assert os.waitstatus_to_exitcode(status) == 9
    assert "SIGINT" not in terminal.text


def test_the_command_reads_from_the_terminal(shared):
    terminal = Terminal(shared, "sh", "-c", "read line; echo got $line")
    os.write(terminal.fd, b"words\n")
    terminal.read_until("got words")
    assert os.waitstatus_to_exitcode(terminal.end()) == 0


def test_ctrl_z_stops_and_a_shell_can_continue(shared):
    pid, fd = pty.fork()
    if pid == 0:
        os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"],
                  shared.environment(PS1="$ ", TERM="dumb"))
    text = ""

    def read_until(what):
        nonlocal text
        while what not in text:
            text += os.read(fd, 4096).decode()
        text = text.split(what, 1)[1]

    os.write(fd, f"{INVACT} run --policy none -- sh -c "
             "'echo be''gun; read x; echo got-$x'\n".encode())
    read_until("begun")
    os.write(fd, b"\x1a")
    read_until("Stopped")
    read_until("$ ")
    os.write(fd, b"fg\n")
    read_until("got-$x'")
    os.write(fd, b"words\n")
    read_until("got-words")
    os.write(fd, b"exit\n")
    try:
        while os.read(fd, 4096):
            pass
    except OSError:
        pass
    os.close(fd)
    os.waitpid(pid, 0)
