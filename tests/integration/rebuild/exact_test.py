"""The exact account of what is rebuilt: asked for by PyTorch's own hooks, held
by PyTorch's own allocator, to the byte.

Three counts that share no code: the ledger's; the oracle's, of a process
without invact (baseline); the allocator's, of both processes (what is there).
"""

import pathlib

import pytest

from exact_job import MODELS, PROGRAMS
from job import workplace
from probe import cases_of
from recount import differences

HERE = pathlib.Path(__file__).parent
POLICIES = ("rebuild", "auto")
CASES = (*MODELS, *PROGRAMS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with workplace(tmp_path_factory.mktemp("exact")) as place:
        script = HERE / "exact_job.py"
        results = {"plain": place.plain(script)}
        results.update({policy: place.attached(script, policy=policy)
                        for policy in POLICIES})
        yield {how: (result, cases_of(result),
                     None if how == "plain" else place.report(result))
               for how, result in results.items()}


def _case(runs, how, name):
    case = runs[how][1][name]
    assert case["error"] is None, (how, case["error"])
    return case


def _steps(runs, how, name):
    steps = _case(runs, how, name)["steps"]
    assert len(steps) >= 2
    return steps


@pytest.mark.parametrize("name", CASES)
def test_the_allocator_agrees_with_the_oracle(runs, name):
    # So that what is asked of the allocator is the right question.
    measured = [(s["baseline"], s["kept"])
                for s in _steps(runs, "plain", name) if "kept" in s]
    assert len(measured) >= 2
    for asked, there in measured:
        assert there == asked


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_baseline_is_what_the_oracle_counts(runs, policy, name):
    expected = [s["baseline"] for s in _steps(runs, "plain", name)]
    assert [s["baseline"] for s in _steps(runs, policy, name)] == expected


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_held_is_what_the_allocator_gave_out(runs, policy, name):
    for step in _steps(runs, policy, name):
        if "kept" in step:
            assert step["held"] == step["kept"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_eliminated_is_missing_from_the_allocator(runs, policy, name):
    pairs = zip(_steps(runs, "plain", name), _steps(runs, policy, name),
                strict=True)
    for plain, seen in pairs:
        assert seen["eliminated"] == seen["baseline"] - seen["held"]
        if "kept" in plain:
            assert plain["kept"] - seen["kept"] == seen["eliminated"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", MODELS)
def test_a_model_holds_less_than_it_asks_for(runs, policy, name):
    # So that equal sums are those of rebuilt tensors.
    for step in _steps(runs, policy, name):
        assert 0 < step["held"] < 0.7 * step["baseline"]


@pytest.mark.parametrize("policy", POLICIES)
def test_what_the_job_keeps_is_not_called_eliminated(runs, policy):
    for name in ("what_the_job_keeps_itself", "a_view_that_the_job_keeps"):
        for step in _steps(runs, policy, name):
            assert step["eliminated"] == 0
    for step in _steps(runs, policy, "what_the_job_lets_go_of_in_the_forward"):
        assert step["eliminated"] == 64 * 256 * 4


@pytest.mark.parametrize("policy", POLICIES)
def test_a_base_that_is_written_was_one(runs, policy):
    # Half of it held before the write, the rebuilt tensor behind it.
    live = _case(runs, policy, "a_base_that_is_written")["live"]
    wide = 64 * 256 * 4
    assert live["before the write"][0] == [wide, wide // 2]
    first = _steps(runs, policy, "a_base_that_is_written")[0]
    assert (first["baseline"], first["held"]) == (wide, wide)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_bit_equal(runs, name):
    expected = _case(runs, "plain", name)["notes"]
    assert expected and _case(runs, "rebuild", name)["notes"] == expected


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_nothing_stays_in_the_account(runs, policy, name):
    case = _case(runs, policy, name)
    assert (case["alive"], case["alive_held"]) == (0, 0)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_ledger_log_adds_up_to_the_report(runs, policy):
    result, _, report = runs[policy]
    recounted = result.recount()
    assert len(recounted.instants) > 2 * len(CASES)
    assert differences(recounted, report) == []
    assert recounted.alive() == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_rows_of_the_report_add_up(runs, policy):
    report = runs[policy][2]
    for field in ("baseline_bytes", "held_bytes"):
        assert sum(row[field] for row in report["layers"]) == (
            report["saved"][field])
