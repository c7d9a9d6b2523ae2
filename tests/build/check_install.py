"""Fails where an installed prefix does not work after it was moved.

Installs the build into a temporary folder, renames it, then looks at every
named file: it is there, it names no folder of the build or of this machine to
search for libraries, and the programs start.

usage: check_install.py CMAKE BUILD_DIR FILE_NAME...
"""

import os
import re
import subprocess
import sys
import tempfile

from source_files import report


def search_paths(file):
    """The library search path entries that a file carries."""
    out = subprocess.run(["readelf", "-d", file], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    found = re.findall(r"\((?:RPATH|RUNPATH)\).*\[(.*)\]", out)
    return [entry for value in found for entry in value.split(":") if entry]


def check_prefix(prefix, names):
    errors = []
    for name in names:
        folder = "lib" if ".so" in name else "bin"
        file = os.path.join(prefix, folder, name)
        if not os.path.exists(file):
            errors.append(f"{folder}/{name} was not installed")
            continue
        for entry in search_paths(file):
            if not entry.startswith("$ORIGIN"):
                errors.append(f"{folder}/{name} searches {entry}, which is not "
                              "relative to itself")
        if folder == "bin":
            run = subprocess.run([file, "--help"], text=True,
                                 stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, timeout=30)
            if run.returncode != 0:
                errors.append(f"bin/{name} --help ends with {run.returncode}: "
                              f"{run.stdout}")
    return errors


def main():
    cmake, build, *names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        before = os.path.join(folder, "before")
        after = os.path.join(folder, "after")
        subprocess.run([cmake, "--install", build, "--prefix", before],
                       check=True, stdout=subprocess.DEVNULL)
        os.rename(before, after)
        return report(check_prefix(after, names))


if __name__ == "__main__":
    sys.exit(main())
