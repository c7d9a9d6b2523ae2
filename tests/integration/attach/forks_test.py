"""A forked child is inert and its parent counts right: workers of every kind,
forks by hand, ranks of a launcher."""

import json

import pytest

from attach_support import JOBS, both_at_once, instants


@pytest.fixture(scope="module")
def workers(place):
    return place.attached(JOBS / "workers.py", policy="invert", ledger=True)


def test_children_end_as_they_wished(workers):
    answer = workers.answer

    assert (answer["exit"], answer["_exit"], answer["kill"],
            answer["fork"]) == (7, 8, -9, 5)
    assert answer["backward"] == 9  # through a graph saved before the fork


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_workers_are_unseen(workers, how):
    answer = workers.answer

    items = answer["workers"][how]
    assert len(items) == 2
    for item in items:
        assert item["pid"] != answer["pid"]
        if how == "fork":  # it trained, in memory that it shares with nobody
            assert item["losses"] == answer["losses"]
        else:
            assert item["memory"] == []


def test_the_job_has_one_run_and_counts_its_own_steps(workers):
    assert len(workers.starts) == 1, workers.lines
    assert len(workers.ends) == 1
    steps = instants(workers.entries())
    # Step 1, the graph kept over the children, three small ones of
    # tiny.train(1) and a last one: the same model and batch in each.
    baselines = [step["baseline"] for step in steps]
    assert [step["step"] for step in steps] == list(range(len(steps)))
    assert len(steps) == 4
    assert baselines[0] == baselines[-1]
    # No child wrote out what the parent had not yet written.
    packs = [e["id"] for e in workers.entries() if e["e"] == "pack"]
    assert len(packs) == len(set(packs))


def test_a_fork_at_any_moment_leaves_a_child_that_ends(place):
    done = place.attached(JOBS / "fork_storm.py", "40")

    assert done.answer == {"0": 40}
    assert len(done.starts) == len(done.ends) == 1


def test_torchrun_gives_one_run_a_rank_and_speaks_once(place):
    command = ("-m", "torch.distributed.run", "--standalone",
               "--nproc-per-node", "2", JOBS / "rank.py")
    plain, seen = both_at_once(
        lambda: place.plain(*command),
        lambda: place.attached(*command, policy="observe", ledger=True))

    def losses(done):
        return {answer["rank"]: answer["loss"] for answer in
                map(json.loads, done.stdout.splitlines())}
    assert seen.returncode == plain.returncode == 0, seen.stderr
    assert losses(seen) == losses(plain) and set(losses(seen)) == {0, 1}
    assert len(seen.starts) == len(seen.ends) == 1
    # Both ranks counted, the agent did not.
    ledgers = sorted(path.name for path in
                     seen.ledger.parent.glob(seen.ledger.name + "*"))
    assert ledgers == [f"{seen.ledger.name}.rank{rank}" for rank in (0, 1)]
    for path in seen.ledger.parent.glob(seen.ledger.name + "*"):
        entries = [json.loads(line) for line in
                   path.read_text(encoding="utf-8").splitlines()]
        assert len(instants(entries)) == 3
