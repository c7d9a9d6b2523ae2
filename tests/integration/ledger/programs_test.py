"""A program runs with invact as it runs without it, and is accounted for."""

import pathlib

import pytest

from job import runs_of
from probe import cases_of
from programs_job import CASES
from recount import differences

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    results = runs_of(tmp_path_factory.mktemp("programs"),
                      HERE / "programs_job.py", "observe", "invert")
    return {name: (result, cases_of(result))
            for name, result in results.items()}


def _case(runs, policy, name):
    case = runs[policy][1][name]
    assert case["error"] is None, (policy, case["error"])
    return case


@pytest.mark.parametrize("policy", ("observe", "invert"))
@pytest.mark.parametrize("name", CASES)
def test_the_program_sees_no_difference(runs, policy, name):
    plain, seen = _case(runs, "plain", name), _case(runs, policy, name)
    assert seen["notes"] == plain["notes"]


@pytest.mark.parametrize("name", CASES)
def test_observing_leaves_gradients_bit_equal(runs, name):
    assert _case(runs, "observe", name)["near"] == \
        _case(runs, "plain", name)["near"]


@pytest.mark.parametrize("name", CASES)
def test_inverting_keeps_gradients_within_rounding(runs, name):
    assert _case(runs, "invert", name)["near"] == pytest.approx(
        _case(runs, "plain", name)["near"], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("policy", ("observe", "invert"))
@pytest.mark.parametrize("name", CASES)
def test_baseline_equals_the_oracle(runs, policy, name):
    expected = [s["baseline"] for s in _case(runs, "plain", name)["steps"]]
    steps = _case(runs, policy, name)["steps"]
    assert [s["baseline"] for s in steps] == expected


@pytest.mark.parametrize("policy", ("observe", "invert"))
@pytest.mark.parametrize("name", CASES)
def test_nothing_stays_in_the_account(runs, policy, name):
    case = _case(runs, policy, name)
    assert (case["alive"], case["alive_held"]) == (0, 0)


def test_an_inverted_input_dies_with_its_last_name(runs):
    name = "graphs_die_when_dropped"
    assert _case(runs, "observe", name)["facts"]["kept"]
    assert not _case(runs, "invert", name)["facts"]["kept"]


@pytest.mark.parametrize("policy", ("observe", "invert"))
def test_the_ledger_log_adds_up(runs, policy):
    recounted = runs[policy][0].recount()
    assert differences(recounted) == []
    assert recounted.alive() == 0
    assert len(recounted.complete) > 30


@pytest.mark.parametrize("policy", ("observe", "invert"))
def test_nothing_goes_wrong_inside(runs, policy):
    lines = [line for line in runs[policy][0].stderr.splitlines()
             if line.startswith("invact: ") and "no relay" not in line]
    assert [line.split()[1] for line in lines] == ["run", "run"], lines
    assert "Overriding" not in runs["invert"][0].stderr


# 4 x 16 floats a batch, and what the mean of squares saves.
ROW = 4 * 4 * 16


@pytest.mark.parametrize("policy", ("observe", "invert"))
@pytest.mark.parametrize("name", ("checkpoint_reentrant",
                                  "checkpoint_non_reentrant"))
def test_a_checkpointed_region_keeps_its_inputs_only(runs, policy, name):
    # Three blocks' inputs, the last output for pow.
    for baseline, held in _case(runs, policy, name)["live"]["kept"]:
        assert (baseline, held) == (4 * ROW, 4 * ROW)


@pytest.mark.parametrize("policy", ("observe", "invert"))
def test_hooks_count_what_they_keep(runs, policy):
    # The batch, tanh's output (also the next Linear's input), pow's input.
    whole = ROW + 4 * ROW + ROW

    def kept(name):
        (totals,) = _case(runs, policy, name)["live"]["kept"]
        return totals

    assert kept("hooks_that_pass_tensors_through") == [whole, whole]
    assert kept("hooks_that_keep_something_else") == [0, 0]
    # Each save is a copy of its own: tanh's output twice.
    halved = (whole + 4 * ROW) // 2
    assert kept("hooks_that_halve")[0] >= halved


@pytest.mark.parametrize("policy", ("observe", "invert"))
def test_offloading_on_the_cpu_keeps_everything(runs, policy):
    # GELU is left alone under the job's hooks: its input counts too.
    whole = ROW + 4 * ROW + 4 * ROW + ROW
    for totals in _case(runs, policy, "saved_on_cpu")["live"]["kept"]:
        assert totals == [whole, whole]
