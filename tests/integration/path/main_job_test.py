"""The main job, unmodified, by the bare variable: its report is the same whether
a daemon runs already or comes later, and as its ledger log adds up."""

import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))

import job  # noqa: E402  found only now
import recount  # noqa: E402

MAIN_JOB = job.ROOT / "examples" / "train_lm.py"
ARGUMENTS = ("--steps", "3", "--layers", "2", "--batch", "4", "--text-bytes", "100000")


def _loss(result):
    return float(re.search(r"final loss ([0-9.]+)", result.stdout)[1])


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """way -> (result of the job, its report)."""
    with job.workplace(tmp_path_factory.mktemp("with")) as place:
        observed = place.attached(MAIN_JOB, *ARGUMENTS, policy="observe")
        inverted = place.attached(MAIN_JOB, *ARGUMENTS)
        plain = place.plain(MAIN_JOB, *ARGUMENTS)
        found = {
            "plain": (plain.check(), None),
            "observe": (observed.check(), place.report(observed)),
            "invert": (inverted.check(), place.report(inverted))}
    with job.Workplace(tmp_path_factory.mktemp("without")) as place:
        late = place.attached(MAIN_JOB, *ARGUMENTS).check()
        # No daemon was there; the command line starts one that adopts.
        found["late"] = (late, place.report(late))
        place.cli("daemon", "stop")
    return found


def test_a_daemon_that_comes_later_gives_the_same_report(seen):
    early, late = seen["invert"][1], seen["late"][1]

    for part in ("step", "saved", "max", "layers", "declines", "losses"):
        assert late[part] == early[part], part
    assert late["run"]["state"] == early["run"]["state"] == "finished"
    assert late["run"]["exit_code"] == 0


def test_inverting_eliminates_a_fifth_and_the_loss_stays(seen):
    saved = seen["invert"][1]["saved"]
    plain, observed, inverted = (
        _loss(seen[way][0]) for way in ("plain", "observe", "invert"))

    assert saved["eliminated_fraction"] > 0.2
    assert observed == plain
    assert inverted == pytest.approx(plain, rel=0.01)


def test_both_policies_count_the_same_baseline(seen):
    observed, inverted = (seen[way][1]["saved"] for way in
                          ("observe", "invert"))

    assert observed["baseline_bytes"] == inverted["baseline_bytes"]
    assert observed["eliminated_bytes"] == 0


@pytest.mark.parametrize("way", ["observe", "invert", "late"])
def test_the_ledger_log_adds_up_to_the_report(seen, way):
    result, report = seen[way]

    assert recount.differences(result.recount(), report) == []
    saved, layers = report["saved"], report["layers"]
    for field in ("baseline_bytes", "held_bytes", "side_bytes",
                  "eliminated_bytes"):
        assert sum(layer[field] for layer in layers) == saved[field]


def test_its_output_is_its_own(seen):
    for way in ("observe", "invert", "late"):
        result = seen[way][0]
        own = [line for line in result.stderr.splitlines()
               if not line.startswith("invact: ")]
        assert own == seen["plain"][0].stderr.splitlines()
        assert "invact" not in result.stdout
