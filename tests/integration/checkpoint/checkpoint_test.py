"""Checkpointed jobs: PyTorch's own numbers, the oracle's bytes."""

import os
import pathlib

import pytest

from blocks_job import CASES as SERVED
from declined_job import CASES as SPECIAL
from job import Workplace
from probe import cases_of
from recount import differences

HERE = pathlib.Path(__file__).parent
PATHS = {"PYTHONPATH": os.pathsep.join(
    str(HERE.parents[1] / folder)
    for folder in ("support", "integration/ledger"))}
# Served from the first step on, beside the models.
CALLED_TWICE = ("tensors_in_keywords_and_tuples", "results_of_all_kinds",
                "one_block_twice")
LEFT_ALONE = ("running_statistics", "attributes", "hooks_of_the_job",
              "a_list_that_grows", "a_cache")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with Workplace(tmp_path_factory.mktemp("checkpoint")) as place:
        job = (HERE / "declined_job.py", *SERVED, *SPECIAL)
        plain = place.plain(*job, env=PATHS)
        seen = place.attached(*job, policy="checkpoint", env=PATHS)
        return {"plain": (plain, cases_of(plain)),
                "checkpoint": (seen, cases_of(seen))}


def _case(runs, how, name):
    case = runs[how][1][name]
    assert case["error"] is None, (how, case["error"])
    return case


@pytest.mark.parametrize("name", (*SERVED, *SPECIAL))
def test_losses_gradients_and_state_are_bit_equal(runs, name):
    expected = _case(runs, "plain", name)["notes"]
    assert expected
    assert _case(runs, "checkpoint", name)["notes"] == expected


@pytest.mark.parametrize("name", (*SERVED, *CALLED_TWICE, *LEFT_ALONE))
def test_baseline_equals_the_oracle_to_the_byte(runs, name):
    expected = [s["baseline"] for s in _case(runs, "plain", name)["steps"]]
    case = _case(runs, "checkpoint", name)
    assert [s["baseline"] for s in case["steps"]] == expected
    assert (case["alive"], case["alive_held"]) == (0, 0)


@pytest.mark.parametrize("name", (*SERVED, *CALLED_TWICE))
def test_most_of_it_is_not_held(runs, name):
    for step in _case(runs, "checkpoint", name)["steps"]:
        assert 0 < step["held"] < 0.3 * step["baseline"]


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_a_block_with_effects_is_left_alone(runs, name):
    last = _case(runs, "checkpoint", name)["steps"][-1]
    assert last["held"] == last["baseline"]


def test_a_block_holds_its_input_alone(runs):
    # Three blocks of 8 x 32 floats, and what the two layers around them keep.
    inputs = 8 * 32 * 4
    for step in _case(runs, "checkpoint", "module_list")["steps"]:
        assert step["held"] == 3 * inputs + inputs + inputs


def test_the_policy_is_switched_between_steps(runs):
    live = _case(runs, "checkpoint", "policies_in_turn")["live"]
    for baseline, held in live["observe"]:
        assert baseline == held
    for baseline, held in live["checkpoint"]:
        assert (baseline, held) == (live["observe"][0][0], 4 * 8 * 32 * 4)


def test_the_ledger_log_adds_up(runs):
    assert differences(runs["checkpoint"][0].recount()) == []


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with Workplace(tmp_path_factory.mktemp("globs")) as place:
        yield place


def _held(place, **environment):
    result = place.attached(HERE / "excluded_job.py", "three_blocks",
                            policy="checkpoint",
                            env={**PATHS, **environment})
    return cases_of(result)["three_blocks"]["steps"][-1], result.stderr


def test_an_excluded_block_is_kept_and_a_glob_chooses(place):
    excluded, said = _held(place, INVACT_EXCLUDE="blocks.1.down,block.1*")
    # Of two blocks, each: up's output (4) and GELU's (4), and a dropout mask
    # as wide as the result (1), for an input that stays.
    assert excluded["eliminated"] == 2 * 9 * 8 * 32 * 4
    chosen, _ = _held(place, INVACT_CHECKPOINT="blocks.2")
    assert chosen["held"] > excluded["held"]
    lines = [line for line in said.splitlines() if "INVACT_EXCLUDE" in line]
    assert lines == [
        "invact: INVACT_EXCLUDE=block.1* matches no module; nearest: "
        "blocks.1, blocks, blocks.0; nothing was left alone for it"]


def test_a_glob_that_matches_nothing_names_the_nearest(place):
    step, said = _held(place, INVACT_CHECKPOINT="block.0")
    assert step["held"] == step["baseline"]
    lines = [line for line in said.splitlines() if "INVACT_CHECKPOINT" in line]
    assert len(lines) == 1
    assert "block.0 matches no module; nearest: blocks.0" in lines[0]


# Jobs whose blocks are left alone: the reason, and what to do next.
REPORTED = {
    "huggingface_checkpointing": (
        "IN_CHECKPOINT_REGION",
        "keep the job's own checkpointing, or take it out and measure both"),
    "compiled_blocks": ("COMPILED_GRAPH", "run the job without torch.compile"),
    "saved_on_the_host": ("USER_HOOKS", "invact report {id} --all"),
}


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    with Workplace(tmp_path_factory.mktemp("reported")) as place:
        place.start_daemon()
        runs = {name: place.attached(HERE / "declined_job.py", name,
                                     policy="checkpoint", env=PATHS).check()
                for name in REPORTED}
        yield {name: (place.report(run),
                      place.cli("report", run.name).stdout.splitlines()[0])
               for name, run in runs.items()}


@pytest.mark.parametrize("name", REPORTED)
def test_a_block_that_is_left_alone_says_why(reported, name):
    reason, following = REPORTED[name]
    report, sentence = reported[name]

    assert report["saved"]["eliminated_bytes"] == 0
    assert {d["reason"] for d in report["declines"]} == {reason}
    declined = {row["name"] for row in report["layers"]
                if row["declined"] == reason}
    assert any("blocks.0" in layer or "layers.0" in layer
               for layer in declined), declined
    assert f"the largest reason is {reason}" in sentence
    following = following.format(id=report["run"]["id"][:8])
    assert f"next: {following}." in sentence
