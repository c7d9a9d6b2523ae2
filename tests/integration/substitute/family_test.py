"""Activations that PyTorch's own backward serves from the output, against eager
and float64."""

import pathlib

import pytest

from family_job import (CASES, EXACT, EXACT_UNLESS_SHORT, EXACT_WITH_BIT, HELD,
                        IN_PLACE, KEPT_TWICE, REFUSED, ROUNDED)
from job import runs_of
from probe import cases_of

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    results = runs_of(tmp_path_factory.mktemp("family"),
                      HERE / "family_job.py", "invert")
    return {name: cases_of(result) for name, result in results.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_program_sees_no_difference(runs, name):
    plain, seen = runs["plain"][name], runs["invert"][name]
    assert plain["error"] is None, plain["error"]
    assert seen["error"] is None, seen["error"]
    assert seen["notes"] == plain["notes"]
    assert seen["near"] == pytest.approx(plain["near"], rel=2e-5)
    assert seen["alive"] == 0


def test_all_of_them_were_served_but_those_that_rounding_spoils(runs):
    facts = runs["invert"]["bit_exact_gradients"]["facts"]
    assert len(facts) == 4 * len({**EXACT, **EXACT_WITH_BIT})
    assert {name for name, served in facts.items() if not served} == {
        *(f"{name}_{dtype}" for name in EXACT_UNLESS_SHORT
          for dtype in ("bfloat16", "float16")),
        *(f"{name}_float64" for name in EXACT_WITH_BIT)}


# Half a unit in the last place of y near -alpha * scale, at most 2 here, times
# the input scale, and PyTorch's rounding of dx on top.
STEPS = {"float32": 2.4e-7, "bfloat16": 1.2e-2, "float16": 1.5e-3,
         "float64": 5e-16}


def test_gradients_are_as_near_as_the_output_tells(runs):
    facts = runs["invert"]["gradients_as_near_as_the_output_tells"]["facts"]
    assert len(facts) == 4 * len(ROUNDED)
    for name, fact in facts.items():
        assert fact["served"], name
        assert fact["worst"] <= STEPS[name.rsplit("_", 1)[1]], name


def test_leaky_relu_in_place_works_or_fails_as_eagers(runs):
    """That notes agree is tested above."""
    notes = runs["invert"]["leaky_relu_in_place"]["notes"]
    assert len(notes["rising"]) == 64
    assert "negative slope" in notes["falling"]


def test_parameters_may_change_all_the_time(runs):
    facts = runs["invert"]["parameters_that_change_all_the_time"]["facts"]
    assert len(facts) == 120
    for name, (served, error) in facts.items():
        assert served, name
        assert error < 2e-6, name


def test_what_the_output_does_not_tell_is_left_alone(runs):
    facts = runs["invert"]["refused_and_in_place"]["facts"]
    assert facts == dict.fromkeys({**REFUSED, **IN_PLACE}, False)


def test_the_input_is_not_held(runs):
    """8 x 64 float32 for each model, beside what the Linears keep; twice where
    PyTorch keeps the noise of RReLU or LogSigmoid's buffer as well."""
    plain = runs["plain"]["a_step_holds_no_input"]["steps"]
    steps = runs["invert"]["a_step_holds_no_input"]["steps"]
    assert len(steps) == len(HELD)
    for name, truth, step in zip(HELD, plain, steps, strict=True):
        inputs = 2 if name in KEPT_TWICE else 1
        assert step["baseline"] == truth["baseline"]
        side = 8 * 64 // 8 if name in EXACT_WITH_BIT else 0
        assert step["side"] == side, name
        assert step["held"] == (step["baseline"] + side
                                - inputs * 8 * 64 * 4), name
