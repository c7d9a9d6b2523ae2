"""INVACT_EVENTS in a job without a GPU: nothing is attached, nothing is said,
and the job computes and its profiler sees what they do without invact."""

import pathlib

import pytest

import job

JOB = pathlib.Path(__file__).parent / "events_job.py"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    with job.Workplace(folder) as place:
        yield {
            "plain": place.plain(JOB).check(),
            "without": place.attached(JOB, policy="observe").check(),
            "events": place.attached(
                JOB, policy="observe", env={"INVACT_EVENTS": "1"}).check(),
            "store": place.attached(
                JOB, policy="observe", env={"INVACT_EVENTS": "store"}).check(),
            "file": place.attached(
                JOB, policy="observe",
                env={"INVACT_EVENTS": f"file:{folder}/events"}).check(),
            "bad": place.attached(
                JOB, policy="observe", env={"INVACT_EVENTS": "yes"}).check(),
        }, folder


def said(result):
    """What invact said, without the lines of the run's begin and end."""
    return [line for line in result.stderr.splitlines()
            if line.startswith("invact: ") and "invact: run " not in line]


@pytest.mark.parametrize("how", ["without", "events", "store", "file", "bad"])
def test_the_job_prints_what_it_does_without_invact(runs, how):
    results, _ = runs
    assert results[how].stdout == results["plain"].stdout
    assert "Optimizer.step#AdamW.step" in results["plain"].stdout


@pytest.mark.parametrize("how", ["events", "store", "file"])
def test_nothing_is_said_where_there_is_no_device(runs, how):
    results, folder = runs
    assert said(results[how]) == said(results["without"]) == []
    # The ledger and the relay are as they were: the run is a whole one.
    assert "saved" in results[how].stderr
    assert not (folder / "events").exists()


def test_a_bad_value_is_said_and_the_job_runs_plain(runs):
    results, _ = runs
    assert said(results["bad"]) == [
        "invact: INVACT_EVENTS=yes is none of 0, 1, store, file:PATH; the job runs plain"]
