"""Trains, then looks for a child or a signal that is not its own: with a
handler of SIGCHLD, by os.wait() before and after a child of its own, and, told
so, as the one that orphans are given to (as process 1 of a container is)."""

import ctypes
import json
import os
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36
signals = []
signal.signal(signal.SIGCHLD, lambda *_: signals.append("SIGCHLD"))
if sys.argv[1] == "reaper":
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
import tiny  # noqa: E402

signals.clear()  # of what the import started
tiny.train(2)


def wait():
    """What os.wait() returns, without waiting: nothing, a pid, no child."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0]
    except ChildProcessError:
        return "no child"


answer = {"before": wait(), "signals": list(signals)}
with open(f"/proc/self/task/{os.getpid()}/children", encoding="utf-8") as file:
    answer["children"] = file.read().split()
own = os.fork()
if own == 0:
    os._exit(3)
pid, status = os.wait()
answer.update(own=pid == own, code=os.waitstatus_to_exitcode(status),
              after=wait(), run=subprocess.run(["true"], check=True).returncode)
print(json.dumps(answer))
