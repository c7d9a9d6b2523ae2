"""What the environment asks for wrongly is said in one line each; the job then
runs plain, or the rest applies."""

import pytest

from attach_support import JOBS, both_at_once

# key, value -> what the line has to tell
BAD = {
    ("INVACT_POLICY", "compress"): "observe, invert, rebuild",
    ("INVACT_BUDGET", "40GB"): "40GiB?",
    ("INVACT_PLAN", "/nowhere/plan.json"): "No such file",
    ("INVACT_DAEMON", "unix:/" + "d" * 120): "107",
    ("INVACT_BITS", "packed\nmantissa"): "neither packed nor mantissa",
    ("INVACT_EXACT", "yes\x1b[31m"): "neither 0 nor 1",
    ("INVACT_LOG", "loud" * 500): "none of error, info",
}


@pytest.fixture(scope="module")
def runs(place):
    train = (JOBS / "train.py", "3")
    names = ("plain", "bad", "budget", "unknown", "kernels", "rank1", "observe",
             "import")
    done = both_at_once(
        lambda: place.plain(*train),
        lambda: place.attached(*train, env={key: value for key, value in BAD}),
        lambda: place.attached(*train, env={"INVACT_BUDGET": "a lot"}),
        lambda: place.attached(*train, env={
            "INVACT_POLICI": "observe", "INVACT_POLICY": "observe"}),
        lambda: place.attached(*train, policy="invert", ledger=True, env={
            "INVACT_KERNELS": "/nowhere/libkernels.so"}),
        lambda: place.attached(*train, env={
            "RANK": "1", "WORLD_SIZE": "2", "INVACT_POLICY": "compress"}),
        lambda: place.attached(*train, policy="observe"),
        lambda: place.attached(JOBS / "look.py", "torch", env={
            **{key: value for key, value in BAD}, "INVACT_KERNELS": "/nowhere/libkernels.so"}))
    return dict(zip(names, done))


def test_every_bad_value_is_one_line(runs):
    seen = runs["bad"]

    assert seen.own_stderr == runs["plain"].own_stderr
    assert len(seen.lines) == len(BAD)
    for (key, _), told in BAD.items():
        line, = [line for line in seen.lines if f" {key}=" in line]
        assert told in line
        assert line.endswith("; the job runs plain")
        assert len(line) < 500 and line.isprintable()


@pytest.mark.parametrize("how", ["bad", "budget", "rank1"])
def test_a_bad_value_leaves_the_job_as_it_was(runs, how):
    plain, seen = runs["plain"].answer, runs[how].answer

    for fact in ("losses", "digest", "tasks", "descriptors"):
        assert seen[fact] == plain[fact], fact
    assert runs[how].starts == runs[how].ends == []


def test_the_other_ranks_do_not_repeat_it(runs):
    assert runs["rank1"].stderr == runs["plain"].stderr


def test_an_unknown_key_is_named_with_the_nearest_and_the_rest_applies(runs):
    seen = runs["unknown"]

    line, = [line for line in seen.lines if "INVACT_POLICI" in line]
    assert "INVACT_POLICY?" in line
    assert "policy observe" in seen.starts[0]
    assert seen.answer["digest"] == runs["plain"].answer["digest"]
    assert seen.lines[1:] == seen.starts + seen.ends


def test_a_missing_kernel_library_is_named_and_the_rest_applies(runs):
    seen = runs["kernels"]

    line, = [line for line in seen.lines if "/nowhere/libkernels.so" in line]
    assert "INVACT_KERNELS" in line
    assert "policy invert" in seen.starts[0]
    assert [e for e in seen.entries() if e.get("kind") == "side"]


def test_a_process_that_only_imports_torch_says_nothing_of_it(runs):
    assert runs["import"].stderr == ""
