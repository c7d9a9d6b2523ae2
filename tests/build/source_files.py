"""Walks a source tree and strips what a rule must not read."""

import os
import re

SKIPPED = re.compile(r"^(build.*|\..*|__pycache__|node_modules)$")
_TOKENS = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])'""",
    re.S)


def walk(root, *suffixes):
    """Yields paths relative to root, sorted, of files with these suffixes."""
    for folder, folders, files in os.walk(root):
        top = os.path.samefile(folder, root)
        folders[:] = sorted(
            f for f in folders
            if not (SKIPPED.match(f) if top else f == "__pycache__"))
        for name in sorted(files):
            if name.endswith(suffixes):
                yield os.path.relpath(os.path.join(folder, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def strip_comments_and_strings(text):
    """Replaces comments and literals by as many newlines as they had."""

    def blank(match):
        return " " + "\n" * match.group().count("\n")

    return _TOKENS.sub(blank, text)


def report(errors):
    """Prints the errors and returns the exit status."""
    for error in errors:
        print(error)
    return 1 if errors else 0
