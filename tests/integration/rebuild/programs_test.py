"""A program runs with exact rebuilding as it runs without invact: the same
bits where PyTorch allows it, the same words where PyTorch refuses.

The truth is a process without invact. See programs_job.py.
"""

import concurrent.futures
import pathlib

import pytest

from job import Workplace
from probe import cases_of
from programs_job import CASES, GROUPS
from recount import differences

HERE = pathlib.Path(__file__).parent
POLICIES = {"rebuild": {}, "auto": {"INVACT_EXACT": "1"}}


class Runs(dict):
    """(how, group) -> (result, cases), a group run when it is first asked."""

    def __init__(self, folder_of):
        super().__init__()
        self._folder_of = folder_of

    def __missing__(self, key):
        _, group = key
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            self.update(pool.map(lambda how: self._run(how, group),
                                 ("plain", *POLICIES)))
        return self[key]

    def _run(self, how, group):
        with Workplace(self._folder_of(f"{how}-{group}")) as place:
            command = [HERE / "programs_job.py", *GROUPS[group]]
            result = place.plain(*command) if how == "plain" else (
                place.attached(*command, policy=how, env=POLICIES[how]))
            return (how, group), (result, cases_of(result))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp)


def _case(runs, how, name):
    case = runs[how, CASES[name]][1][name]
    assert case["error"] is None, (how, case["error"])
    return case


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_the_program_sees_no_difference(runs, policy, name):
    expected = _case(runs, "plain", name)["notes"]
    seen = _case(runs, policy, name)["notes"]
    assert expected and seen.keys() == expected.keys()
    for program, notes in seen.items():
        assert notes == expected[program], program


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_less_is_held_than_asked_for(runs, policy, name):
    # So that what is written or read is a base, or what is rebuilt.
    # Programs that look at no such instant have nothing in "before".
    facts = _case(runs, policy, name)["facts"]
    for program, fact in facts.items():
        for baseline, held in fact["before"][:1]:
            assert 0 <= held < baseline, program
    looked = sum(bool(fact["before"]) for fact in facts.values())
    assert looked >= len(facts) // 2


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_nothing_stays_in_the_account(runs, policy, name):
    case = _case(runs, policy, name)
    assert (case["alive"], case["alive_held"]) == (0, 0)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_nothing_stays_in_the_account_of_a_program(runs, policy, name):
    for program, facts in _case(runs, policy, name)["facts"].items():
        assert facts["after"] == [0, 0], program


def test_writes_are_refused_and_allowed_and_seen_in_gradients(runs):
    # So that every kind of outcome is among those compared.
    steps = {}
    for name in GROUPS["writes"]:
        for program, (first, _) in _case(runs, "plain", name)["notes"].items():
            steps[program] = first
    refused = [p for p, step in steps.items() if step["failed"]]
    untouched = {name: steps[f"{name}_nothing"] for name in GROUPS["writes"]}
    changed = [
        f"{name}_{write}" for name in GROUPS["writes"]
        for write in ("into_data", "storage_filled", "through_an_alias")
        if steps[f"{name}_{write}"]["gradients"] !=
        untouched[name]["gradients"]]
    assert len(refused) > 500 and len(steps) - len(refused) > 500
    assert len(changed) > 30


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("group", GROUPS)
def test_the_ledger_log_adds_up(runs, policy, group):
    recounted = runs[policy, group][0].recount()
    assert differences(recounted) == []
    assert recounted.alive() == 0
    assert len(recounted.complete) > 20


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("group", GROUPS)
def test_nothing_goes_wrong_inside(runs, policy, group):
    lines = [line for line in runs[policy, group][0].stderr.splitlines()
             if line.startswith("invact: ") and "no relay" not in line]
    assert [line.split()[1] for line in lines] == ["run", "run"], lines
