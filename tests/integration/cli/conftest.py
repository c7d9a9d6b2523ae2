import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from place import Place  # noqa: E402


@pytest.fixture
def place():
    made = Place()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared():
    """One for all tests of a file that only read, or that run jobs."""
    made = Place()
    made.ok("daemon", "start")
    yield made
    made.close()
