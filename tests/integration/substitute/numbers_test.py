"""What inverted GELU and SiLU compute, against float64 and eager PyTorch."""

import pathlib

import pytest

from job import runs_of
from numbers_job import CASES
from probe import cases_of

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    results = runs_of(tmp_path_factory.mktemp("numbers"),
                      HERE / "numbers_job.py", "invert")
    return {name: cases_of(result) for name, result in results.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_program_sees_no_difference(runs, name):
    plain, seen = runs["plain"][name], runs["invert"][name]
    assert plain["error"] is None, plain["error"]
    assert seen["error"] is None, seen["error"]
    assert seen["notes"] == plain["notes"]
    if name != "nan_and_infinity_as_in_eager":
        assert seen["near"] == pytest.approx(plain["near"], rel=2e-4, abs=1e-5)
    assert seen["alive"] == 0


def test_no_gradient_is_nan_where_eagers_is_not(runs):
    name = "nan_and_infinity_as_in_eager"
    for seen, plain in zip(runs["invert"][name]["near"],
                           runs["plain"][name]["near"], strict=True):
        assert plain or not seen


# Largest error and that on normal inputs: one and a half, one and a fifth times
# what any decoder of the output and one bit can reach, and PyTorch's own
# rounding of the gradient to 16 bits on top.
BOUNDS = {
    "float32": (2e-4, 5e-6),
    "bfloat16": (1.5 * 1.14e-2 + 3.9e-3, 2.15e-3),
    "float16": (1.5 * 4.8e-3 + 4.9e-4, 4.8e-4),
}


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith("accuracy")])
def test_gradient_error_is_within_its_bound(runs, name):
    seen = runs["invert"][name]["facts"]
    largest, typical = BOUNDS[name.rsplit("_", 1)[1]]
    assert seen["served"]
    assert seen["nan"] == 0
    assert seen["max"] <= largest
    assert seen["rms"] <= typical


DECLINED = ("sliced", "strided", "expanded", "empty", "float64")


def test_layouts_are_served_or_declined_as_stated(runs):
    for name, served in runs["invert"]["every_shape_and_layout"][
            "facts"].items():
        assert served == (not name.startswith(DECLINED)), name
    assert not any(runs["plain"]["every_shape_and_layout"]["facts"].values())


def test_second_derivatives_equal_float64(runs):
    for name, (first, second, mixed) in runs["invert"]["second_derivatives"][
            "facts"].items():
        # x is rebuilt from y: at the minimum its error is the largest.
        assert first <= 3e-4, name
        assert second <= 2e-3, name
        assert mixed <= 1e-3, name
