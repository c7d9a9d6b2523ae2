"""Fails where a *_test.cc or *_test.py stands in no CMakeLists.txt.

usage: check_listed.py ROOT
"""

import os
import re
import sys

from source_files import read, report, walk


def listed_files(root):
    """Every path that some CMakeLists.txt names outside its comments."""
    listed = set()
    for path in walk(root, "CMakeLists.txt"):
        text = re.sub(r"#[^\n]*", "", read(root, path))
        folder = os.path.dirname(path)
        for word in re.findall(r"[\w./${}+-]+_test\.(?:cc|py|cu)\b", text):
            word = word.replace("${CMAKE_CURRENT_SOURCE_DIR}/", "")
            listed.add(os.path.normpath(os.path.join(folder, word)))
            listed.add(os.path.normpath(
                word.replace("${PROJECT_SOURCE_DIR}/", "")))
    return listed


def check(root):
    listed = listed_files(root)
    return [
        f"{path}: no CMakeLists.txt names it, so nobody runs it "
        "(invact_test or invact_pytest)"
        for path in walk(root, "_test.cc", "_test.py", "_test.cu")
        if path not in listed
    ]


if __name__ == "__main__":
    sys.exit(report(check(sys.argv[1])))
