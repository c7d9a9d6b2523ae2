import pathlib
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support import Daemon  # noqa: E402


@pytest.fixture
def folder():
    # Not tmp_path: its length may exceed what a Unix socket allows.
    with tempfile.TemporaryDirectory(prefix="ivd", dir="/tmp") as path:
        yield pathlib.Path(path)


@pytest.fixture
def make_daemon(folder):
    made = []

    def make(*args, **kwargs):
        made.append(Daemon(folder, *args, **kwargs))
        return made[-1]

    yield make
    for daemon in made:
        daemon.close()


@pytest.fixture
def daemon(make_daemon):
    return make_daemon()
