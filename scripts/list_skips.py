"""Prints what a run of ctest skipped, and why, one line a reason.

usage: list_skips.py LASTTEST_LOG
"""

import collections
import re
import sys

_TEST = re.compile(r"^\d+/\d+ Testing: (\S+)$")
_PYTEST = re.compile(r"^SKIPPED \[(\d+)\] (\S+?)(?::\d+)?: (.*)$")
_SCRIPT = re.compile(r"^skipped: (.*)$")
_GTEST = re.compile(r"^\S+:\d+: Skipped$")


def skips(lines):
    """Counts of (name of the ctest entry, reason)."""
    found = collections.Counter()
    test, reason_follows = "", False
    for line in map(str.rstrip, lines):
        if match := _TEST.match(line):
            test = match[1]
        elif match := _PYTEST.match(line):
            found[test, match[3]] += int(match[1])
        elif match := _SCRIPT.match(line):
            found[test, match[1]] += 1
        elif reason_follows:
            found[test, line or "no reason given"] += 1
        reason_follows = bool(_GTEST.match(line))
    return found


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        found = skips(file)
    for (test, reason), count in sorted(found.items()):
        print(f"{count:5d}  {test}: {reason}")


if __name__ == "__main__":
    main()
