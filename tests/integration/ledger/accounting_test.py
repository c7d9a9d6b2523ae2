"""Baseline bytes equal what PyTorch's own hooks count, to the byte."""

import pathlib

import pytest

from accounting_job import CASES
from job import runs_of
from probe import cases_of

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    results = runs_of(tmp_path_factory.mktemp("accounting"),
                      HERE / "accounting_job.py", "observe", "invert")
    return {name: cases_of(result) for name, result in results.items()}


@pytest.mark.parametrize("name", CASES)
def test_no_case_breaks(runs, name):
    for policy, cases in runs.items():
        assert cases[name]["error"] is None, (policy, cases[name]["error"])


@pytest.mark.parametrize("policy", ("observe", "invert"))
@pytest.mark.parametrize("name", CASES)
def test_baseline_equals_the_oracle_to_the_byte(runs, policy, name):
    expected = [s["baseline"] for s in runs["plain"][name]["steps"]]
    assert [s["baseline"] for s in runs[policy][name]["steps"]] == expected


@pytest.mark.parametrize("name", CASES)
def test_observing_holds_what_pytorch_holds(runs, name):
    for step in runs["observe"][name]["steps"]:
        assert step["held"] == step["baseline"]
        assert step["side"] == step["eliminated"] == 0


@pytest.mark.parametrize("name", CASES)
def test_held_and_eliminated_add_up_to_baseline(runs, name):
    for step in runs["invert"][name]["steps"]:
        assert step["held"] + step["eliminated"] == step["baseline"]


@pytest.mark.parametrize("policy", ("observe", "invert"))
@pytest.mark.parametrize("name", CASES)
def test_nothing_stays_in_the_account(runs, policy, name):
    assert runs[policy][name]["alive"] == 0
    assert runs[policy][name]["alive_held"] == 0
