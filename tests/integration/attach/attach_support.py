"""Runs jobs with and without libinvact.so, and says what they left behind.

A place has its own home, state and temporary folder, so that everything a job
or its relay writes is found in `files()`.
"""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import job

HERE = pathlib.Path(__file__).resolve().parent
JOBS = HERE / "jobs"
PRELOAD = job.PRELOAD
RELAY = job.BIN / "invact-relay"
SECONDS = 180

START_LINE = re.compile(r"invact: run ([0-9a-f]{4}), policy (\w+)")
END_LINE = re.compile(r"invact: run ([0-9a-f]{4}) saved (.*) of (.*); next: ")


@dataclasses.dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str
    seconds: float
    ledger: pathlib.Path

    @property
    def lines(self):
        """What invact said."""
        return [line for line in self.stderr.splitlines()
                if line.startswith("invact: ")]

    @property
    def own_stderr(self):
        """What the job said, invact's own lines apart."""
        return [line for line in self.stderr.splitlines()
                if not line.startswith("invact: ")]

    @property
    def starts(self):
        return [line for line in self.lines if START_LINE.match(line)]

    @property
    def ends(self):
        return [line for line in self.lines if END_LINE.match(line)]

    @property
    def answer(self):
        """The job's last line of output, as JSON."""
        assert self.returncode == 0, (
            f"ended with {self.returncode}:\n{self.stdout[-1000:]}\n"
            f"{self.stderr[-3000:]}")
        return json.loads(self.stdout.splitlines()[-1])

    def entries(self):
        with open(self.ledger, encoding="utf-8") as file:
            return [json.loads(line) for line in file]


class Place:
    python = sys.executable

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self._work = job.Workplace(folder)
        self._jobs = 0
        for name in ("home", "tmp"):
            (self.folder / name).mkdir()

    def __enter__(self):
        self._work.__enter__()
        return self

    def __exit__(self, *error):
        self._work.__exit__(*error)

    def environment(self, **extra):
        # One thread: how MKL splits a sum depends on how busy the machine is.
        kept = self._work.environment(
            OMP_NUM_THREADS="1",
            HOME=str(self.folder / "home"), TMPDIR=str(self.folder / "tmp"))
        kept.update(extra)
        return kept

    def files(self):
        """Every file and folder below home, state, tmp and the runtime
        folder."""
        roots = [self.folder / "home", self.folder / "state",
                 self.folder / "tmp", self.runtime]
        return sorted(str(path) for root in roots for path in root.rglob("*"))

    @property
    def runtime(self):
        return self._work.runtime

    def start_daemon(self):
        self._work.start_daemon()

    def cli(self, *arguments):
        return self._work.cli(*arguments)

    def wait_for_run(self, name):
        """The report of a run once the daemon has its end."""
        return self._work.report(job.Result(name, 0, "", "", None))

    def plain(self, *command, **options):
        return self._run(command, {}, **options)

    def attached(self, *command, preload=PRELOAD, policy=None, ledger=False,
                 env=None, **options):
        extra = {"LD_PRELOAD": str(preload)}
        if policy is not None:
            extra["INVACT_POLICY"] = policy
        path = self.folder / f"ledger{self._jobs + 1}.jsonl"
        if ledger:
            extra["INVACT_LOG"] = f"ledger:{path}"
        return self._run(command, {**extra, **(env or {})}, path, **options)

    def _run(self, command, extra, ledger=None, program=sys.executable,
             cwd=None, **options):
        self._jobs += 1
        options = {"capture_output": True, **options}
        begin = time.monotonic()
        done = subprocess.run(
            [*([program] if program else []), *map(str, command)], text=True,
            env=self.environment(**extra), timeout=SECONDS, check=False,
            cwd=cwd or self.folder, **options)
        return Done(done.returncode, done.stdout or "", done.stderr or "",
                    time.monotonic() - begin, ledger)


def both_at_once(*calls):
    """Results of calls that each mostly wait for a process; two at a time."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [future.result() for future in
                [pool.submit(call) for call in calls]]


def fake_install(folder, plugin=True, relay=True):
    """A prefix with libinvact.so and, as asked, links to the rest."""
    lib, binaries = folder / "lib", folder / "bin"
    lib.mkdir(parents=True)
    binaries.mkdir()
    shutil.copy(PRELOAD, lib)
    if plugin:
        for path in job.LIB.glob("libinvact-*.so"):
            (lib / path.name).symlink_to(path)
    if relay and RELAY.exists():
        (binaries / RELAY.name).symlink_to(RELAY)
    return lib / PRELOAD.name


def plugin_name():
    return next(path.name for path in job.LIB.glob("libinvact-torch*.so"))


def scopes_by_step(entries):
    """step -> the names of the modules that saved something in it."""
    steps, now = {}, set()
    for entry in entries:
        if entry["e"] == "pack":
            now.add(entry["scope"])
        elif entry["e"] == "end":
            steps[entry["step"]], now = now, set()
    return steps


def instants(entries):
    return [entry for entry in entries if entry["e"] == "instant"]


def environment_without_invact():
    return {key: value for key, value in os.environ.items()
            if not key.startswith("INVACT_") and key != "LD_PRELOAD"}
