import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "support"))
sys.path.insert(0, str(HERE))

import attach_support  # noqa: E402  found only now


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with attach_support.Place(tmp_path_factory.mktemp("place")) as place:
        yield place
