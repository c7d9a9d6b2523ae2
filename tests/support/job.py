"""Runs a job with and without invact, and reads what invact says of it.

    with Workplace(tmp_path) as place:
        place.start_daemon()
        plain = place.plain("job.py")
        seen = place.attached("job.py", policy="observe")
        report = place.report(seen)

A workplace has its own state, spool and socket folder, so tests never meet
each other's runs or a daemon of the user. The build is found through
INVACT_BIN_DIR and INVACT_LIB_DIR, else below INVACT_BUILD_DIR, else in build/.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import recount

ROOT = pathlib.Path(__file__).resolve().parents[2]
_BUILD = pathlib.Path(os.environ.get("INVACT_BUILD_DIR", ROOT / "build"))
BIN = pathlib.Path(os.environ.get("INVACT_BIN_DIR", _BUILD / "bin"))
LIB = pathlib.Path(os.environ.get("INVACT_LIB_DIR", _BUILD / "lib"))
PRELOAD = LIB / "libinvact.so"
SUPPORT = str(ROOT / "tests" / "support")

_JOB_SECONDS = 900  # two busy cores without 16-bit arithmetic take 300
_STORED_SECONDS = 60


@dataclasses.dataclass
class Result:
    name: str
    returncode: int
    stdout: str
    stderr: str
    ledger: pathlib.Path

    def recount(self):
        with open(self.ledger, encoding="utf-8") as file:
            return recount.recount(file)

    def check(self):
        """Itself, or an AssertionError with what the job said."""
        assert self.returncode == 0, (
            f"{self.name} ended with {self.returncode}\n"
            f"{self.stdout[-2000:]}\n{self.stderr[-4000:]}")
        return self


class Workplace:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        # A Unix socket's path holds 107 bytes; pytest's folders are longer.
        self.runtime = pathlib.Path(tempfile.mkdtemp(prefix="iv-"))
        self._jobs = 0
        self._daemon = False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        try:
            self.stop_daemon()
        finally:
            shutil.rmtree(self.runtime, ignore_errors=True)

    def environment(self, **extra):
        """This process's without anything of invact, plus the workplace's."""
        kept = {key: value for key, value in os.environ.items()
                if not key.startswith("INVACT_") and key != "LD_PRELOAD"}
        kept.update(
            INVACT_STATE_DIR=str(self.folder / "state"),
            XDG_RUNTIME_DIR=str(self.runtime),
            PYTHONPATH=SUPPORT,
            PYTHONDONTWRITEBYTECODE="1",
            OMP_NUM_THREADS="2",
            HF_HUB_OFFLINE="1",
        )
        kept.update(extra)
        return kept

    def start_daemon(self):
        self.cli("daemon", "start")
        self._daemon = True

    def stop_daemon(self):
        if self._daemon:
            self._daemon = False
            self.cli("daemon", "stop")

    def cli(self, *arguments, check=True):
        done = subprocess.run(
            [BIN / "invact", *arguments], env=self.environment(), text=True,
            capture_output=True, timeout=_JOB_SECONDS, check=False)
        if check:
            assert done.returncode == 0, (
                f"invact {' '.join(arguments)}: {done.returncode}\n"
                f"{done.stdout}\n{done.stderr}")
        return done

    def plain(self, *command, env=None):
        """The job as if invact were not installed."""
        environment = {
            key: value for key, value in self.environment(**env or {}).items()
            if not key.startswith("INVACT_")}
        return self._run(command, environment)

    def attached(self, *command, policy=None, env=None, ledger=True):
        """The job by the one env var; policy None leaves the default."""
        extra = {"LD_PRELOAD": str(PRELOAD)}
        if policy is not None:
            extra["INVACT_POLICY"] = policy
        if ledger:
            extra["INVACT_LOG"] = f"ledger:{self._ledger(self._jobs + 1)}"
        extra["INVACT_RUN_NAME"] = self._name(self._jobs + 1)
        return self._run(command, self.environment(**extra, **env or {}))

    def report(self, result, step="last"):
        """The job's report once the daemon has all of it."""
        done = None
        for _ in until(_STORED_SECONDS):
            done = self.cli("report", result.name, "--step", step, "--json",
                            check=False)
            if done.returncode == 0:
                report = json.loads(done.stdout)
                if report["run"]["state"] != "running":
                    return report
        raise AssertionError(
            f"no finished run {result.name} after {_STORED_SECONDS} s: "
            f"{done.stdout[-1000:]}\n{done.stderr}\njob: {result.stderr}")

    def _name(self, number):
        return f"job{number}-{self.runtime.name}"

    def _ledger(self, number):
        return self.folder / f"ledger{number}.jsonl"

    def _run(self, command, environment):
        self._jobs += 1
        done = subprocess.run(
            [sys.executable, *map(str, command)], env=environment, text=True,
            capture_output=True, timeout=_JOB_SECONDS, cwd=self.folder,
            check=False)
        return Result(self._name(self._jobs), done.returncode, done.stdout,
                      done.stderr, self._ledger(self._jobs))


def until(seconds, pause=0.1):
    """Yields until the deadline, for waiting on a condition."""
    deadline = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() > deadline:
            return
        time.sleep(pause)


@contextlib.contextmanager
def workplace(folder):
    """A workplace with a daemon."""
    with Workplace(folder) as place:
        place.start_daemon()
        yield place


def runs_of(folder, script, *policies):
    """How -> result of the job: "plain", and attached under each policy."""
    with Workplace(folder) as place:
        return {"plain": place.plain(script),
                **{policy: place.attached(script, policy=policy)
                   for policy in policies}}
