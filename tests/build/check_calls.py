"""Fails where code calls what its process must not call there.

usage: check_calls.py ROOT
"""

import os
import re
import sys

from source_files import read, report, strip_comments_and_strings, walk

SOURCES = (".h", ".cc", ".c", ".cpp", ".cu", ".cuh")
CONFIG_FILES = re.compile(r"^(config|options)\.(cc|c|h)$")
# The preloaded library is one file and decides before any plugin is there.
LOADER = "plugin/attach/attach.c"
GETENV = re.compile(r"\b(secure_)?getenv\s*\(")
ENDS_PROCESS = re.compile(
    r"(?<![\w.>])(?:std::|::)?(exit|abort|quick_exit|_Exit|terminate|assert)"
    r"\s*\(")
STDOUT = re.compile(r"\b(stdout|std::cout|printf\s*\(|puts\s*\(|putchar\s*\()")


def in_guest(path):
    """Code that runs inside somebody's job."""
    return path.startswith(("plugin/", "kernels/")) and not path.startswith(
        "plugin/relay/")


def check(root):
    errors = []
    for path in walk(root, *SOURCES):
        if path.startswith(("tests/", "examples/")):
            continue
        code = strip_comments_and_strings(read(root, path))
        for number, line in enumerate(code.split("\n"), start=1):
            if (GETENV.search(line) and path != LOADER and
                    not CONFIG_FILES.match(os.path.basename(path))):
                errors.append(f"{path}:{number}: getenv outside a config.* or "
                              "options.* file")
            if not in_guest(path):
                continue
            if ENDS_PROCESS.search(line):
                errors.append(f"{path}:{number}: can end the job; return an "
                              "error and switch the feature off")
            if STDOUT.search(line):
                errors.append(f"{path}:{number}: can write to the job's "
                              "stdout; every line of ours goes to stderr")
    return errors


if __name__ == "__main__":
    sys.exit(report(check(sys.argv[1])))
