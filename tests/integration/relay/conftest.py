import pathlib
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from jobs import Daemon, Job, wait_for  # noqa: E402


@pytest.fixture
def folder():
    # Not tmp_path: its length may exceed what a Unix socket allows.
    with tempfile.TemporaryDirectory(prefix="ivr", dir="/tmp") as path:
        yield pathlib.Path(path)


@pytest.fixture
def daemon(folder):
    """Not started yet."""
    daemon = Daemon(folder, start=False)
    yield daemon
    daemon.close()


@pytest.fixture
def make_job(folder):
    made = []

    def make(**options):
        made.append(Job(folder, **options))
        return made[-1]

    yield make
    for job in made:
        job.close()
        wait_for(lambda: job.process.poll() is not None)
