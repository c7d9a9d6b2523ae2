"""Fails where a C++ file is not as clang-format writes it.

The clang-format is the one that scripts/requirements.txt pins, because each
version formats a little differently.

usage: check_format.py ROOT
"""

import importlib.metadata
import os
import subprocess
import sys

from source_files import report, walk

SOURCES = (".h", ".cc", ".c", ".cpp", ".cu", ".cuh")


def clang_format():
    """The program of the package clang-format in this Python."""
    for file in importlib.metadata.files("clang-format"):
        path = str(file.locate())
        if os.path.basename(path) == "clang-format" and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError("the package clang-format brought no program")


def check(root):
    program = clang_format()
    files = list(walk(root, *SOURCES))
    result = subprocess.run(
        [program, "--dry-run", "-Werror", "--ferror-limit=1", *files],
        cwd=root, text=True, stderr=subprocess.PIPE, check=False)
    bad = sorted({line.split(":")[0] for line in result.stderr.splitlines()
                  if "-Wclang-format-violations" in line})
    errors = [f"{path}: not formatted; clang-format -i {path}" for path in bad]
    if result.returncode != 0 and not errors:
        errors.append(result.stderr)
    return errors


if __name__ == "__main__":
    sys.exit(report(check(sys.argv[1])))
