"""Rebuilding leaves every family's training as it is, to the bit.

PyTorch's CPU kernels repeat themselves from process to process (the job's two
plain runs were equal when the models were chosen), so that any difference is
the policy's.
"""

import pathlib

import pytest

from families_job import CASES, MANY_STEPS
from job import runs_of
from probe import cases_of
from recount import differences

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    results = runs_of(tmp_path_factory.mktemp("families"),
                      HERE / "families_job.py", "rebuild")
    return {name: (result, cases_of(result))
            for name, result in results.items()}


def _case(runs, how, name):
    case = runs[how][1][name]
    assert case["error"] is None, (how, case["error"])
    return case


@pytest.mark.parametrize("name", CASES)
def test_losses_gradients_and_random_numbers_are_bit_equal(runs, name):
    plain = _case(runs, "plain", name)["notes"]["table"]
    seen = _case(runs, "rebuild", name)["notes"]["table"]
    assert len(plain) >= 4 and plain[0]["gradients"]
    for step, (expected, found) in enumerate(zip(plain, seen, strict=True)):
        assert found == expected, f"step {step}"


@pytest.mark.parametrize("name", CASES)
def test_parameters_and_buffers_end_bit_equal(runs, name):
    expected = _case(runs, "plain", name)["notes"]["end"]
    assert _case(runs, "rebuild", name)["notes"]["end"] == expected


def test_one_precision_of_each_family_runs_for_fifty_steps(runs):
    lengths = [len(_case(runs, "plain", name)["notes"]["table"])
               for name in CASES]
    assert sum(length == MANY_STEPS for length in lengths) == 11


@pytest.mark.parametrize("name", CASES)
def test_baseline_equals_the_oracle_to_the_byte(runs, name):
    (expected,) = _case(runs, "plain", name)["steps"]
    (seen,) = _case(runs, "rebuild", name)["steps"]
    assert seen["baseline"] == expected["baseline"]


@pytest.mark.parametrize("name", CASES)
def test_less_is_held_than_asked_for(runs, name):
    # So that equal bits are those of rebuilt tensors.
    (seen,) = _case(runs, "rebuild", name)["steps"]
    assert 0 < seen["held"] < 0.95 * seen["baseline"]


@pytest.mark.parametrize("name", CASES)
def test_nothing_stays_in_the_account(runs, name):
    case = _case(runs, "rebuild", name)
    assert (case["alive"], case["alive_held"]) == (0, 0)


def test_the_ledger_log_adds_up(runs):
    assert differences(runs["rebuild"][0].recount()) == []


def test_nothing_goes_wrong_inside(runs):
    lines = [line for line in runs["rebuild"][0].stderr.splitlines()
             if line.startswith("invact: ") and "no relay" not in line]
    assert [line.split()[1] for line in lines] == ["run", "run"], lines
