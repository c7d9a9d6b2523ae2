"""Fails where README.md does not name a supported torch version.

The versions stand in cmake/torch_versions.txt.

usage: check_readme.py ROOT
"""

import sys

from source_files import read, report


def supported(root):
    lines = read(root, "cmake/torch_versions.txt").splitlines()
    return [l.split()[0] for l in lines if l.strip() and l[0] != "#"]


def check(root):
    readme = read(root, "README.md")
    return [
        f"README.md does not name torch {version}, which "
        "cmake/torch_versions.txt supports"
        for version in supported(root)
        if version not in readme and version.rsplit(".", 1)[0] not in readme
    ]


if __name__ == "__main__":
    sys.exit(report(check(sys.argv[1])))
