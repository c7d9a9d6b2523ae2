"""Jobs without streams, without a home, with nothing that can be written."""

import json

import pytest

from attach_support import JOBS, both_at_once


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_file_with_stderr_s_number_gets_no_line(place, closed):
    result = place.folder / f"result{len(closed)}"
    done = place.attached(
        "-c", f'"$0" "$@" {closed}', place.python, JOBS / "closed_streams.py",
        result, program="sh", ledger=True)

    assert done.returncode == 0
    answer = json.loads(result.read_text(encoding="utf-8"))
    assert 2 in answer["numbers"]
    assert set(answer["contents"]) == {"data"}
    # The files as they are after the end line would have been written.
    for number in range(len(answer["numbers"])):
        with open(f"{result}.{number}", "rb") as file:
            assert file.read() == b"data"
    assert done.entries()  # it was counted all the same


# Makes every mounted file system read-only for what it then executes, root
# included.
READ_ONLY = r"""
cut -d' ' -f2 /proc/self/mounts | while read -r mount; do
  case $mount in /proc*|/sys*) ;; *) mount -o remount,bind,ro "$mount" ;; esac
done 2>/dev/null
exec "$@"
"""


def read_only(*command):
    return ["--mount", "sh", "-c", READ_ONLY, "sh", *command]


@pytest.fixture(scope="module")
def nothing_writable(place):
    """Skips where this user can't have such a view of the file system."""
    folders = [place.folder, place.folder / "tmp", "/tmp", "/dev/shm",
               "/var/tmp"]
    script = ("import os, sys; sys.exit(any(os.access(folder, os.W_OK) "
              "for folder in sys.argv[1:]))")
    probe = place.plain(*read_only(place.python, "-c", script, *folders),
                        program="unshare")
    if probe.returncode != 0:
        pytest.skip("no read-only view of all file systems to be had: "
                    + (probe.stderr.strip() or "some stayed writable"))


def test_nothing_writable_leaves_the_totals_and_the_end_line(
        place, nothing_writable):
    hidden = read_only(place.python, JOBS / "train.py")
    plain, seen = both_at_once(
        lambda: place.plain(JOBS / "train.py"),
        lambda: place.attached(*hidden, program="unshare", policy="observe"))

    assert seen.answer["losses"] == plain.answer["losses"]
    assert len(seen.starts) == len(seen.ends) == 1
    assert seen.own_stderr == plain.own_stderr


def test_a_home_that_cannot_be_made_harms_nothing(place):
    lost = {key: "/proc/nowhere" for key in (
        "HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TMPDIR",
        "INVACT_STATE_DIR", "INVACT_SPOOL_DIR")}
    plain, seen = both_at_once(
        lambda: place.plain(JOBS / "train.py"),
        lambda: place.attached(JOBS / "train.py", policy="observe", env=lost))

    assert seen.answer["losses"] == plain.answer["losses"]
    assert len(seen.starts) == len(seen.ends) == 1
    assert seen.own_stderr == plain.own_stderr
