"""Processes that train nothing stay as they were: the shell, git, a Python
without torch, one that only imports torch, a launcher and its workers."""

import os

import pytest

from attach_support import JOBS, PRELOAD, both_at_once

# libdl is a part of glibc, and empty since 2.34.
OWN_FILE = {PRELOAD.name, "libdl.so.2"}


def names_added(attached, plain):
    return {os.path.basename(path) for path in
            set(attached["mapped"]) - set(plain["mapped"])}


def test_bash_and_git_say_and_leave_what_they_did_before(place):
    script = ("set -e; git init -q .; echo text > file; git add file; "
              "git -c user.name=n -c user.email=e commit -qm m; "
              "git status --short; git log --format=%s; ls -1 /proc/self/fd; "
              "cut -d' ' -f20 /proc/self/stat")
    ways = [place.plain, place.attached]
    done = []
    for way in ways:
        folder = place.folder / way.__name__
        folder.mkdir()
        done.append(way("-c", script, program="bash", cwd=folder))
    plain, seen = done

    assert plain.returncode == 0, plain.stderr
    assert (seen.returncode, seen.stdout, seen.stderr) == (
        0, plain.stdout, plain.stderr)
    assert place.files() == []


@pytest.mark.parametrize("imports", [(), ("json", "ssl", "sqlite3")])
def test_python_without_torch_gets_the_file_alone(place, imports):
    plain, seen = both_at_once(
        lambda: place.plain(JOBS / "look.py", *imports),
        lambda: place.attached(JOBS / "look.py", *imports))

    assert names_added(seen.answer, plain.answer) <= OWN_FILE
    for fact in ("descriptors", "tasks", "python_threads"):
        assert seen.answer[fact] == plain.answer[fact], fact
    assert seen.stderr == plain.stderr == ""
    assert place.files() == []


def test_importing_torch_shows_no_thread_no_file_and_no_line(place):
    modules = ("torch", "torch.utils.data", "torch.distributed")
    plain, seen = both_at_once(
        lambda: place.plain(JOBS / "look.py", *modules),
        lambda: place.attached(JOBS / "look.py", *modules))

    for fact in ("descriptors", "tasks", "python_threads"):
        assert seen.answer[fact] == plain.answer[fact], fact
    assert {name.split("-")[0] for name in
            names_added(seen.answer, plain.answer) - OWN_FILE} == {"libinvact"}
    assert seen.stderr == plain.stderr
    assert place.files() == []


def test_a_command_that_cannot_be_run_fails_as_before(place):
    """The preload is in every exec of the job's shell, the failed ones too."""
    script = "/nowhere/program; echo $?; exit 3"
    plain = place.plain("-c", script, program="bash")
    seen = place.attached("-c", script, program="bash")

    assert (seen.returncode, seen.stdout, seen.stderr) == (
        3, plain.stdout, plain.stderr)
