"""invact with a state, a socket and a home of its own, and a relay's view of
its daemon."""

import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "daemon"))

from support import BIN, Client, Relay, wait_for  # noqa: E402, F401

INVACT = BIN / "invact"
LIBRARY = pathlib.Path(os.environ["INVACT_LIB_DIR"]) / "libinvact.so"


class Place:
    def __init__(self):
        # Not pytest's folder: its length may exceed what a socket allows.
        self._folder = tempfile.TemporaryDirectory(prefix="ivc", dir="/tmp")
        self.folder = pathlib.Path(self._folder.name)
        self.state = self.folder / "state"
        self.runtime = self.folder / "run"
        self.runtime.mkdir(mode=0o700)
        self.socket = self.runtime / "invact" / "d.sock"
        self.clients = []

    def environment(self, **extra):
        """Without anything of invact or a batch system; None takes a variable
        away."""
        kept = {key: value for key, value in os.environ.items()
                if not re.match(r"INVACT_|LD_PRELOAD|SLURM_|TORCHELASTIC_"
                                r"|XDG_|NO_COLOR|COLUMNS|RANK$", key)}
        kept.update(HOME=str(self.folder), INVACT_STATE_DIR=str(self.state),
                    XDG_RUNTIME_DIR=str(self.runtime))
        kept.update(extra)
        return {k: str(v) for k, v in kept.items() if v is not None}

    def start(self, *arguments, env=None, **kwargs):
        kwargs = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                  "stderr": subprocess.PIPE, "text": True, **kwargs}
        return subprocess.Popen([INVACT, *map(str, arguments)],
                                env=self.environment(**env or {}),
                                cwd=self.folder, **kwargs)

    def __call__(self, *arguments, env=None, timeout=60, input=None):
        process = self.start(*arguments, env=env,
                             stdin=subprocess.PIPE if input is not None
                             else subprocess.DEVNULL)
        out, err = process.communicate(input, timeout=timeout)
        return subprocess.CompletedProcess(arguments, process.returncode, out,
                                           err)

    def ok(self, *arguments, **kwargs):
        done = self(*arguments, **kwargs)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def json(self, *arguments, **kwargs):
        return json.loads(self.ok(*arguments, "--json", **kwargs))

    def error(self, *arguments, code, **kwargs):
        """The error object of a call that must fail with that code."""
        done = self(*arguments[:1], "--json", *arguments[1:], **kwargs)
        assert done.returncode == code, (done.returncode, done.stderr)
        assert done.stdout == ""
        error = json.loads(done.stderr)["error"]
        assert set(error) == {"code", "message", "next"}
        return error

    def daemon_pid(self):
        return self.json("daemon", "status")["pid"]

    def client(self):
        self.clients.append(Client(f"unix:{self.socket}"))
        return self.clients[-1]

    def answers(self):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def record(self, steps=2, end=("finished", "exit"), client=None,
               action="invert", **run):
        """A run as its relay would have sent it; its id. kernels=: what its
        hello tells of them."""
        relay = Relay(client or self.client(), **run)
        relay.welcome()
        for index in range(steps):
            last = index == steps - 1
            relay.send_step(index, end=end if last else None, action=action)
        relay.wait_ack()
        relay.finish()
        return relay.id

    def close(self):
        for client in self.clients:
            client.close()
        self("daemon", "stop")
        # Where stopping is broken, too, nothing may stay.
        lock = pathlib.Path(f"{self.socket}.lock")
        if self.answers() and lock.exists():
            os.kill(int(lock.read_text().split()[1]), signal.SIGKILL)
        self._folder.cleanup()


class Screen:
    """What a terminal, whose other end is `fd`, shows."""

    def __init__(self, fd):
        self.fd = fd
        self.text = ""  # not read yet
        self.seen = ""  # all of it

    def _more(self, seconds):
        assert select.select([self.fd], [], [], seconds)[0], self.seen
        more = os.read(self.fd, 4096).decode(errors="replace")
        self.text += more
        self.seen += more
        return more

    def read_until(self, what, seconds=60):
        while what not in self.text:
            self._more(seconds)
        self.text = self.text.split(what, 1)[1]

    def read_to_the_end(self, seconds=60):
        try:
            while self._more(seconds):
                pass
        except OSError:
            pass  # the terminal's last process is gone
        os.close(self.fd)

    def type(self, text):
        os.write(self.fd, text.encode())


def alive(pid):
    """A zombie is not: who should reap it may be somebody else."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def children(pid):
    return [int(child) for child in pathlib.Path(
        f"/proc/{pid}/task/{pid}/children").read_text().split()]
