"""Programs stay as legal, and as illegal, as they are in eager PyTorch."""

import pathlib

import pytest

from job import runs_of
from legality_job import CASES
from probe import cases_of
from recount import differences

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    results = runs_of(tmp_path_factory.mktemp("legality"),
                      HERE / "legality_job.py", "invert")
    return {name: (result, cases_of(result))
            for name, result in results.items()}


def _facts(runs, name):
    return runs["invert"][1][name]["facts"]


@pytest.mark.parametrize("name", CASES)
def test_the_program_sees_no_difference(runs, name):
    plain, seen = runs["plain"][1][name], runs["invert"][1][name]
    assert plain["error"] is None, plain["error"]
    assert seen["error"] is None, seen["error"]
    assert seen["notes"] == plain["notes"]


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_eager_within_rounding(runs, name):
    plain, seen = runs["plain"][1][name], runs["invert"][1][name]
    assert seen["near"] == pytest.approx(plain["near"], rel=1e-4, abs=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_nothing_stays_held(runs, name):
    seen = runs["invert"][1][name]
    assert (seen["alive"], seen["alive_held"]) == (0, 0)


def test_the_ledger_log_adds_up(runs):
    recounted = runs["invert"][0].recount()
    assert differences(recounted) == []
    assert recounted.alive() == 0


def test_nothing_goes_wrong_inside(runs):
    lines = [line for line in runs["invert"][0].stderr.splitlines()
             if line.startswith("invact: ") and "no relay" not in line]
    assert [line.split()[1] for line in lines] == ["run", "run"], lines
    assert "Overriding" not in runs["invert"][0].stderr


def test_a_site_whose_output_is_written_is_left_alone_from_then_on(runs):
    for case in ("writes_before_anything_saved_the_output",
                 "writes_by_custom_ops"):
        for name, served in _facts(runs, case).items():
            written = not name.startswith("dropout")
            assert served == [True, not written, not written], name


def test_a_shape_changed_in_place_keeps_the_site(runs):
    for name, served in _facts(
            runs, "shape_changes_in_place_are_no_writes").items():
        assert served == [True] * 3, name


def test_a_site_that_gains_nothing_is_left_alone_from_the_second_step(runs):
    facts = _facts(runs, "nothing_is_eliminated")
    for name in ("frozen", "kept", "autocast"):
        assert facts[name] == [True, False, False], name
    # A chunk is refused at once; its copy is an input of its own.
    assert facts["chunked_False"] == [False] * 3
    assert facts["chunked_True"] == [True] * 3


def test_what_gains_nothing_costs_nothing_later(runs):
    steps = runs["invert"][1]["nothing_is_eliminated"]["steps"]
    eliminated = [step["eliminated"] for step in steps]
    bits = 8 * 64 // 8
    # frozen, chunk, copied chunk, kept elsewhere, autocast: three steps each.
    assert eliminated[1:3] == eliminated[3:6][1:] == [0, 0]
    assert eliminated[6:9] == [8 * 64 * 4 - bits] * 3
    assert eliminated[10:12] == eliminated[13:15] == [0, 0]


def test_a_second_backward_ends_the_substitution(runs):
    for served in _facts(
            runs, "second_backward_through_training_steps").values():
        assert served == [True, False, False]


def test_regions_that_are_not_served(runs):
    facts = _facts(runs, "regions_with_hooks_modes_and_compilers")
    assert facts["hooked"] == [False, False]
    assert facts["moded"] == [False, False]
    # Forward and second forward of each step: hooks in both.
    assert not any(facts["checkpoint_False"])
    # The reentrant kind saves nothing in its forward (no node at all there),
    # and its second forward is an ordinary one.
    assert facts["checkpoint_True"][1::2] == [True, True]
