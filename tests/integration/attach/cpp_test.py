"""A C++ job is attached by the same file, and harmed as little."""

import os
import subprocess

import pytest

import job
from attach_support import (
    both_at_once, instants, scopes_by_step)

EXAMPLE = job.BIN / "invact_example_cpp"
ARGUMENTS = ("--steps", "4", "--width", "64", "--layers", "2", "--text",
             os.path.dirname(os.__file__))


@pytest.fixture(scope="module")
def runs(place):
    names = ("plain", "observe", "invert", "unnamed", "disabled",
             "checkpoint", "rebuild")
    done = both_at_once(
        lambda: place.plain(*ARGUMENTS, program=EXAMPLE),
        lambda: place.attached(*ARGUMENTS, program=EXAMPLE, policy="observe",
                               ledger=True),
        lambda: place.attached(*ARGUMENTS, program=EXAMPLE, ledger=True),
        lambda: place.attached(*ARGUMENTS, "--no-scopes", program=EXAMPLE,
                               ledger=True),
        lambda: place.attached(*ARGUMENTS, program=EXAMPLE,
                               env={"INVACT_DISABLE": "1"}),
        lambda: place.attached(*ARGUMENTS, program=EXAMPLE,
                               policy="checkpoint", ledger=True),
        lambda: place.attached(*ARGUMENTS, program=EXAMPLE, policy="rebuild",
                               ledger=True))
    return dict(zip(names, done))


@pytest.mark.parametrize("how", ["observe", "disabled"])
def test_a_watched_cpp_job_prints_the_same_losses(runs, how):
    plain, seen = runs["plain"], runs[how]

    assert plain.returncode == seen.returncode == 0, seen.stderr
    assert "final loss" in seen.stdout
    assert seen.stdout == plain.stdout
    assert len(seen.starts) == len(seen.ends) == (how == "observe")
    assert seen.own_stderr == plain.own_stderr == []


def test_its_user_scopes_name_what_saves(runs):
    scopes = scopes_by_step(runs["invert"].entries())

    assert set(scopes) == {0, 1, 2, 3}
    for names in scopes.values():
        assert names == {"", "blocks.0", "blocks.1"}


def test_without_scopes_ordinals_tell_ops_apart(runs):
    packs = [e for e in runs["unnamed"].entries() if e["e"] == "pack"]

    assert {pack["scope"] for pack in packs} == {""}
    first = [pack["ordinal"] for pack in packs[:len(packs) // 4]]
    assert len(set(first)) > 20
    assert first == sorted(first)


def test_its_gelus_are_inverted(runs):
    entries = runs["invert"].entries()

    sides = [e["scope"] for e in entries
             if e["e"] == "pack" and e["kind"] == "side"]
    assert sides == ["blocks.0", "blocks.1"] * 4  # one GELU a block, 4 steps
    for observed, inverted in zip(instants(runs["observe"].entries()),
                                  instants(entries)):
        assert inverted["baseline"] == observed["baseline"]
        assert inverted["held"] < observed["held"] == observed["baseline"]


def test_policy_checkpoint_says_what_it_needs_and_only_observes(runs):
    seen = runs["checkpoint"]

    assert seen.stdout == runs["plain"].stdout
    trouble = [line for line in seen.stderr.splitlines()
               if "does nothing in a C++ job" in line]
    assert trouble == [
        "invact: policy checkpoint calls modules of Python again and does "
        "nothing in a C++ job; observing only (next: INVACT_POLICY=rebuild)"]
    assert "Python jobs only: observing" in seen.starts[0]
    for at in instants(seen.entries()):
        assert at["held"] == at["baseline"] > 0


def test_what_it_names_instead_saves_memory_at_the_same_losses(runs):
    seen = runs["rebuild"]

    assert seen.stdout == runs["plain"].stdout
    for at in instants(seen.entries()):
        assert 0 < at["held"] < at["baseline"]


def test_a_stderr_that_nobody_reads_does_not_end_it(place):
    """`./train 2>&1 | head`: a C++ program dies of SIGPIPE at its first write
    to the closed pipe, and ours must not be one that it did not make."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = place.attached(*ARGUMENTS, program=EXAMPLE,
                              capture_output=False, stdout=subprocess.PIPE,
                              stderr=write_end)
    finally:
        os.close(write_end)

    assert done.returncode == 0
    assert "final loss" in done.stdout
