"""The committed constants are what the script computes."""
import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(os.environ.get("INVACT_SOURCE_DIR",
                                     pathlib.Path(__file__).parents[3]))


@pytest.mark.skipif(not importlib.util.find_spec("mpmath"),
                    reason="mpmath (comes with torch) is not installed")
def test_decoder_tables_are_what_fit_py_writes():
    written = subprocess.run(
        [sys.executable, SOURCE / "kernels/coefficients/fit.py"],
        capture_output=True, text=True, check=True).stdout

    assert written == (SOURCE / "kernels/decoder_tables.h").read_text()
