"""Fails where README.md or docs/ name what is not there.

Looks at links, at paths of this repository, at options of scripts/ and of the
programs, at INVACT_ keys. Each key of plugin/config.cc must be explained in
docs/attach.md, and each column of the stable views in docs/storage.md.

usage: check_docs.py ROOT [PROGRAM...]
  PROGRAM   built invact and invactd, whose --help is compared
"""

import functools
import glob
import os
import pathlib
import re
import sqlite3
import subprocess
import sys

from source_files import read, report, walk

FOLDERS = ("cmake", "daemon", "docs", "examples", "kernels", "plugin", "proto",
           "scripts", "tests", r"\.ci")
PATH = re.compile(r"(?<![\w./~$-])(?:%s)/[\w./*-]*[\w*]" % "|".join(FOLDERS))
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
KEY = re.compile(r"\bINVACT_[A-Z_]*[A-Z]\b")
CODE = re.compile(r"```\w*\n(.*?)```|`([^`]+)`", re.S)
# `invact report RUN --json`, `scripts/setup --quick`; not what a job is given.
COMMAND = re.compile(
    r"(?:^|[\s(\"|]|/bin/)(invactd?|scripts/\w+)(?![\w./,-])"
    r"((?: +(?!--(?:\s|$))[^\s|;&)`]+)*)")
SOURCES = (".cc", ".c", ".h", ".cmake", "CMakeLists.txt")


def documents(root):
    yield from (p for p in ("README.md", "CHANGELOG.md")
                if os.path.exists(os.path.join(root, p)))
    yield from (p for p in walk(root, ".md") if p.startswith("docs/"))


def config_keys(root):
    """The keys of kKeys in plugin/config.cc."""
    text = read(root, "plugin/config.cc")
    table = re.search(r"kKeys\[\] = \{(.*?)\};", text, re.S)[1]
    return re.findall(r'"(INVACT_\w+)"', table)


@functools.cache
def words_of_sources(root):
    words = set()
    for path in walk(root, *SOURCES):
        words.update(KEY.findall(read(root, path)))
    return words


def check_paths(root, path, text):
    for target in LINK.findall(text):
        if not os.path.exists(os.path.join(root, os.path.dirname(path),
                                           target)):
            yield f"{path} links to {target}, which is not there"
    for named in sorted(set(PATH.findall(text))):
        if not glob.glob(os.path.join(root, named)):
            yield f"{path} names {named}, which is not there"


def commands(text):
    """(program, its words) for each command in code spans and blocks."""
    for block, span in CODE.findall(text):
        joined = (block.replace("\\\n", " ") if block else
                  span.replace("\n", " "))
        for line in joined.splitlines():
            for program, rest in COMMAND.findall(line.split(" #")[0]):
                yield program, rest.split()


@functools.cache
def help_of(*command):
    done = subprocess.run([*command, "--help"], text=True, timeout=30,
                          capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def check_commands(root, path, text, programs):
    for name, words in commands(text):
        program = programs.get(name) or os.path.join(root, name)
        if name not in programs and not name.startswith("scripts/"):
            continue
        if name.startswith("scripts/") and not os.access(program, os.X_OK):
            continue  # not a program: check_paths looks at it
        verb = []
        if name == "invact":
            # The verbs stand first; daemon has verbs of its own.
            for word in words:
                if not re.fullmatch(r"[a-z]+", word) or len(verb) == 2 or (
                        verb and verb[0] != "daemon"):
                    break
                verb.append(word)
        text_of_help = help_of(program, *verb)
        if text_of_help is None:
            yield f"{path}: {' '.join([name, *verb])} --help fails"
            continue
        # Options of the program go with every verb.
        text_of_help += help_of(program) or ""
        for word in words:
            flag = re.match(r"\[?(--[a-z][\w-]*)", word)
            if flag and not re.search(
                    re.escape(flag[1]) + r"(?![\w-])", text_of_help):
                yield (f"{path}: {' '.join([name, *verb])} has no "
                       f"{flag[1]}")


def check_keys(root, path, text):
    for key in sorted(set(KEY.findall(text))):
        if key not in words_of_sources(root):
            yield f"{path} names {key}, which nothing in the sources reads"


def view_columns(root):
    """The columns of each view after all steps of daemon/store/schema_v*.h."""
    database = sqlite3.connect(":memory:")
    steps = pathlib.Path(root).glob("daemon/store/schema_v*.h")
    for path in sorted(steps, key=lambda path: int(path.stem[8:])):
        database.executescript(re.search(r'R"sql\((.*?)\)sql"', read(
            root, path.relative_to(root)), re.S)[1])
    return {view: [row[1] for row in database.execute(
        f"PRAGMA table_info({view})")] for view, in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'view'").fetchall()}


def check_views(root):
    text = read(root, "docs/storage.md")
    for view, columns in view_columns(root).items():
        described = re.search(rf"\*\*`{view}`\*\*(.*?)\n\n", text, re.S)
        if not described:
            yield f"docs/storage.md does not describe the view {view}"
            continue
        named = re.findall(r"`(\w+)`", described[1])
        for column in columns:
            if column not in named:
                yield f"docs/storage.md: {view} has a column {column}"


def check(root, programs):
    errors = list(check_views(root))
    for path in documents(root):
        text = read(root, path)
        errors += check_paths(root, path, text)
        errors += check_keys(root, path, text)
        errors += check_commands(root, path, text, programs)
    explained = set(KEY.findall(read(root, "docs/attach.md")))
    errors += [f"docs/attach.md does not explain {key}, which "
               "plugin/config.cc reads"
               for key in config_keys(root) if key not in explained]
    return errors


def main():
    root, *programs = sys.argv[1:]
    return report(check(root, {os.path.basename(p): p for p in programs}))


if __name__ == "__main__":
    sys.exit(main())
