"""Data parallel and sharded jobs train under every policy as without invact,
or what could go wrong is left alone. So do jobs whose collectives write to
what was saved, or to what it is rebuilt from.

The truth is a job without invact: every rank of it, every loss and every byte
of every gradient, digested by the job itself. Two ranks on the CPU, by gloo,
started by torchrun. See training_cases.py and collective_cases.py.
"""

import collections
import json
import math
import pathlib

import pytest

from job import Workplace, until
from ranks_job import GROUPS

HERE = pathlib.Path(__file__).parent
# Gradients under them are those of plain PyTorch to the bit.
EXACT = {"observe": {}, "rebuild": {}, "auto": {"INVACT_EXACT": "1"},
         "checkpoint": {}}
POLICIES = {**EXACT, "invert": {}}
RANKS = (0, 1)
TRAINED, COLLECTIVES = GROUPS["training"], GROUPS["collectives"]
# The collectives' jobs have no blocks to checkpoint.
SEEN = [(policy, name) for policy in POLICIES for name in TRAINED] + [
    (policy, name) for policy in ("rebuild", "auto", "invert")
    for name in COLLECTIVES]
CHECKPOINTED = [name for name in TRAINED if "_checkpointed" in name]
SHARDED = [name for name in TRAINED if name.startswith(("fully_", "wrapped_"))]

Run = collections.namedtuple("Run", "ranks stderr reports")


def _launch(place, folder, policy):
    command = ("-m", "torch.distributed.run", "--standalone",
               "--nproc-per-node", "2", HERE / "ranks_job.py", folder,
               *[group for group, names in GROUPS.items()
                 if policy is None or (policy, names[0]) in SEEN])
    # One thread: how a sum is split depends on how busy the machine is.
    env = {"OMP_NUM_THREADS": "1", **POLICIES.get(policy, {})}
    result = place.plain(*command, env=env) if policy is None else (
        place.attached(*command, policy=policy, env=env, ledger=False))
    result.check()
    return result, [json.loads((folder / f"rank{rank}.json").read_text())
                    for rank in RANKS]


def _reports(place, name):
    """Of both ranks, once the daemon has their ends."""
    for _ in until(60):
        runs = [run for run in json.loads(place.cli("ls", "--json").stdout)[
            "runs"] if run["name"] == name]
        if [run["state"] for run in runs] == ["finished"] * len(RANKS):
            break
    assert sorted(run["rank"] for run in runs) == list(RANKS), runs
    return [json.loads(place.cli("report", run["id"], "--json").stdout)
            for run in runs]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with Workplace(tmp_path_factory.mktemp("ranks")) as place:
        place.start_daemon()
        done = {}
        for policy in (None, *POLICIES):
            folder = place.folder / f"{policy}"
            folder.mkdir()
            result, ranks = _launch(place, folder, policy)
            done[policy] = Run(ranks, result.stderr, [] if policy is None
                               else _reports(place, result.name))
        yield done


def _case(runs, policy, rank, name):
    case = runs[policy].ranks[rank][name]
    assert case["error"] is None, (policy, rank, case["error"])
    return case


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("policy,name", [
    (policy, name) for policy, name in SEEN if policy in EXACT])
def test_losses_and_gradients_are_bit_equal(runs, name, policy, rank):
    expected = _case(runs, None, rank, name)["notes"]
    seen = _case(runs, policy, rank, name)["notes"]
    assert len(seen) == len(expected) >= 4
    for mine, theirs in zip(seen, expected, strict=True):
        assert mine == theirs


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("name", TRAINED)
def test_inverted_activations_change_gradients_by_rounding(runs, name, rank):
    expected = _case(runs, None, rank, name)
    seen = _case(runs, "invert", rank, name)
    assert seen["notes"][0] == expected["notes"][0]  # the first loss
    for mine, theirs in zip(seen["norms"], expected["norms"], strict=True):
        assert mine.keys() == theirs.keys()
        for parameter, norm in theirs.items():
            assert math.isclose(mine[parameter], norm, rel_tol=0.02,
                                abs_tol=1e-6), parameter


@pytest.mark.parametrize("rank", RANKS)
def test_ranks_and_steps_differ_and_gradients_are_there(runs, rank):
    # So that equal digests are those of something.
    for name in TRAINED:
        notes = _case(runs, None, rank, name)["notes"]
        losses = [note for note in notes if isinstance(note, str)]
        assert len(set(losses)) == len(losses)
        assert losses != [note for note in _case(runs, None, 1 - rank, name)[
            "notes"] if isinstance(note, str)]
        assert any(digest is not None and "(0,)" not in digest
                   for digest in notes[-1].values())


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("policy", ("rebuild", "auto"))
@pytest.mark.parametrize("name", (*TRAINED, *COLLECTIVES))
def test_less_is_held_than_asked_for(runs, name, policy, rank):
    # So that equal gradients are those of rebuilt tensors. What depends on
    # shards that are freed in the forward, and are no smaller, is kept then.
    most = 0.95 if name in (*CHECKPOINTED, *COLLECTIVES) else (
        0.75 if name.startswith("wrapped_") else 0.55)
    for baseline, held in _case(runs, policy, rank, name)["before"]:
        assert 0 < held < most * baseline


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("name", TRAINED)
def test_checkpointing_serves_replicas_and_leaves_shards_alone(
        runs, name, rank):
    for baseline, held in _case(runs, "checkpoint", rank, name)["before"]:
        if name in SHARDED + CHECKPOINTED:
            assert held == baseline
        else:
            assert 0 < held < 0.4 * baseline


@pytest.mark.parametrize("rank", RANKS)
def test_collectives_are_seen_in_gradients_or_refused(runs, rank):
    # So that every kind of outcome is among those compared.
    def outcome(name):
        (_, failed), gradients = _case(runs, None, rank, name)["notes"][:2]
        return failed, tuple(gradients.values())

    refused = [name for name in COLLECTIVES if outcome(name)[0]]
    untouched = {outcome(f"nothing_{place}") for place in (
        "base", "rebuilt", "before_it_is_saved")}
    changed = [name for name in COLLECTIVES if outcome(name)[0] is None
               and outcome(name) not in untouched]
    assert len(refused) >= 3 and len(changed) >= 12


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("policy,name", SEEN)
def test_nothing_stays_in_the_account(runs, name, policy, rank):
    assert _case(runs, policy, rank, name)["alive"] == [0, 0]


@pytest.mark.parametrize("policy", POLICIES)
def test_every_rank_is_reported(runs, policy):
    for report in runs[policy].reports:
        assert report["run"]["world_size"] == len(RANKS)
        eliminated = report["saved"]["eliminated_bytes"]
        # The last case is sharded.
        assert eliminated == 0 if policy in ("observe", "checkpoint") else (
            eliminated > 0)


def test_shards_are_left_alone_with_a_reason(runs):
    for report in runs["checkpoint"].reports:
        assert {d["reason"] for d in report["declines"]} >= {"TENSOR_SUBCLASS"}


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_goes_wrong_inside(runs, policy):
    lines = [line for line in runs[policy].stderr.splitlines()
             if line.startswith("invact: ")]
    assert lines and {line.split()[1] for line in lines} == {"run"}, lines
