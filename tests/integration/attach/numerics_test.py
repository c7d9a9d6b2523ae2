"""A job that invact only watches, or is told to leave alone, computes what it
would compute without it, bit by bit."""

import os

import pytest

from attach_support import JOBS, PRELOAD, both_at_once

STEPS = "20"


@pytest.fixture(scope="module")
def runs(place):
    job = (JOBS / "train.py", STEPS)
    names = ("plain", "disabled", "none", "observe")
    done = both_at_once(
        lambda: place.plain(*job),
        lambda: place.attached(*job, env={"INVACT_DISABLE": "1"}),
        lambda: place.attached(*job, policy="none"),
        lambda: place.attached(*job, policy="observe"))
    return dict(zip(names, done))


@pytest.mark.parametrize("how", ["disabled", "none"])
def test_switched_off_means_nothing_but_the_file_itself(runs, how):
    plain, off = runs["plain"].answer, runs[how].answer

    added = set(off["mapped"]) - set(plain["mapped"])
    # libdl is a part of glibc, and empty since 2.34.
    assert {os.path.basename(path) for path in added} <= {
        PRELOAD.name, "libdl.so.2"}
    assert str(PRELOAD.resolve()) in added
    for fact in ("losses", "digest", "descriptors", "tasks", "python_threads"):
        assert off[fact] == plain[fact], fact
    assert runs[how].stderr == runs["plain"].stderr


def test_observe_changes_no_loss_no_weight_and_no_random_number(runs):
    plain, seen = runs["plain"].answer, runs["observe"].answer

    assert seen["losses"] == plain["losses"]
    assert len(set(seen["losses"])) == int(STEPS)  # it did train
    assert seen["digest"] == plain["digest"]
    assert len(runs["observe"].starts) == len(runs["observe"].ends) == 1


def test_observe_adds_no_thread_and_keeps_no_descriptor(runs):
    plain, seen = runs["plain"].answer, runs["observe"].answer

    assert seen["tasks"] == plain["tasks"]
    assert seen["python_threads"] == plain["python_threads"]
    assert seen["descriptors"] == plain["descriptors"]
    assert runs["observe"].own_stderr == runs["plain"].own_stderr
