"""However a job ends, it ends as it would have without invact: the same code,
the same last words, at once."""

import concurrent.futures
import subprocess
import sys
import time

import pytest

from attach_support import JOBS, PRELOAD

WAYS = ("exit0", "exit3", "minus1", "exception", "text", "in-forward", "_exit",
        "abort", "SIGTERM", "SIGINT", "SIGSEGV", "SIGKILL")
CODES = {"exit0": 0, "exit3": 3, "minus1": 255, "exception": 1, "text": 1,
         "in-forward": 1, "_exit": 4, "abort": -6, "SIGTERM": -15,
         "SIGINT": -2, "SIGSEGV": -11, "SIGKILL": -9}
# Ways that pass through exit(), where the run ends and says so.
SAID = ("exit0", "exit3", "minus1", "exception", "text", "in-forward")


@pytest.fixture(scope="module")
def ends(place):
    """way -> (plain, attached)."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pairs = {way: (pool.submit(place.plain, JOBS / "leave.py", way),
                       pool.submit(place.attached, JOBS / "leave.py", way))
                 for way in WAYS}
        return {way: tuple(future.result() for future in pair)
                for way, pair in pairs.items()}


@pytest.mark.parametrize("way", WAYS)
def test_a_job_ends_with_its_own_code_and_words(ends, way):
    plain, seen = ends[way]

    assert plain.returncode == CODES[way]
    assert seen.returncode == plain.returncode
    assert seen.stdout == plain.stdout == "trained\n"
    assert seen.own_stderr == plain.own_stderr
    assert "last words" in seen.own_stderr
    assert len(seen.starts) == 1
    assert len(seen.ends) == (1 if way in SAID else 0), seen.stderr


def test_leaving_is_not_delayed(place):
    """From the job's last words to its end, as its parent sees it."""
    delays = []
    for extra in ({}, {"LD_PRELOAD": str(PRELOAD)}):
        with subprocess.Popen(
                [sys.executable, JOBS / "leave.py", "exit0"], text=True,
                env=place.environment(**extra), stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL) as process:
            assert process.stdout.readline() == "trained\n"
            begin = time.monotonic()
            assert process.wait(60) == 0
            delays.append(time.monotonic() - begin)
    plain, attached = delays
    # The promise is 0.5 s; a busy machine makes the plain one vary by as much.
    assert attached <= plain + 0.5 + plain
