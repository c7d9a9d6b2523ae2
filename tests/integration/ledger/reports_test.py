"""The report says what the ledger log adds up to, and why sites were left."""

import pathlib

import pytest

from job import workplace
from recount import differences

HERE = pathlib.Path(__file__).parent
REASONS = HERE / "reasons_job.py"
EXCLUDE = {"INVACT_EXCLUDE": "nothing.*,excluded.*"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with workplace(tmp_path_factory.mktemp("reports")) as made:
        yield made


@pytest.fixture(scope="module")
def reasons(place):
    result = place.attached(REASONS, policy="invert", env=EXCLUDE).check()
    return result, place.report(result)


def _row(report, layer, op="GeluBackward0"):
    (row,) = [row for row in report["layers"]
              if row["name"] == layer and row["op"] in (op, None, "")]
    return row


def test_the_report_equals_the_recounted_ledger(reasons):
    result, report = reasons
    assert differences(result.recount(), report) == []
    assert report["step"]["complete"] is True


def test_layers_and_actions_and_categories_sum_to_the_totals(reasons):
    saved, layers = reasons[1]["saved"], reasons[1]["layers"]
    for field in ("baseline_bytes", "held_bytes", "side_bytes",
                  "eliminated_bytes"):
        assert sum(row[field] for row in layers) == saved[field], field
    assert saved["baseline_bytes"] - saved["held_bytes"] == \
        saved["eliminated_bytes"]
    assert sum(saved["by_category"].values()) == saved["baseline_bytes"]
    assert sum(saved["by_action"].values()) == saved["eliminated_bytes"]


def test_a_served_site_shows_what_it_eliminates(reasons):
    row = _row(reasons[1], "served.act")
    assert (row["action"], row["declined"]) == ("invert", None)
    assert row["baseline_bytes"] == 4 * 32 * 4
    assert row["held_bytes"] == row["side_bytes"] == 4 * 32 // 8


def test_the_outermost_modules_own_saves_are_not_those_outside_of_it(reasons):
    rows = {row["op"]: row for row in reasons[1]["layers"]
            if row["name"] == ""}
    sin, power = rows["SinBackward0"], rows["PowBackward0"]
    assert sin["baseline_bytes"] == power["baseline_bytes"] == 4
    assert sin["ordinal"] != power["ordinal"]


@pytest.mark.parametrize("layer, reason", [
    ("excluded.act", "USER_EXCLUDED"),
    ("frozen.act", "OUTPUT_NOT_SAVED"),
    ("kept_elsewhere.act", "INPUT_KEPT_ELSEWHERE"),
    ("chunked.act", "INPUT_KEPT_ELSEWHERE"),
    ("expanded.act", "LAYOUT_UNSUPPORTED"),
    ("double.act", "DTYPE_UNSUPPORTED"),
    ("written.act", "WRITTEN_IN_PLACE"),
    ("mode.act", "DISPATCH_MODE"),
    ("hooked.act", "USER_HOOKS"),
    ("checkpointed.act", "IN_CHECKPOINT_REGION"),
    ("prelu.act", "NOT_INVERTIBLE"),
])
def test_a_declined_site_says_why(reasons, layer, reason):
    declined = {row["declined"] for row in reasons[1]["layers"]
                if row["name"] == layer}
    assert declined == {reason}


def test_a_compiled_region_says_so(place):
    result = place.attached(REASONS, "--compiled", policy="invert").check()
    report = place.report(result)
    rows = [row for row in report["layers"]
            if row["op"] == "CompiledFunctionBackward"]
    assert rows and all(row["declined"] == "COMPILED_GRAPH" for row in rows)
    assert "COMPILED_GRAPH" in {d["reason"] for d in report["declines"]}
    penalised = _row(report, "<Penalised>.act")
    assert penalised["declined"] == "DOUBLE_BACKWARD"


def test_exact_inverts_nothing(place):
    result = place.attached(REASONS, policy="invert",
                            env={"INVACT_EXACT": "1"}).check()
    saved = place.report(result)["saved"]
    assert saved["eliminated_bytes"] == saved["side_bytes"] == 0
    assert saved["baseline_bytes"] > 0


@pytest.mark.parametrize("where", ("module", "script", "backward"))
def test_a_step_that_was_never_completed_shows_what_it_saved(place, where):
    script = HERE / "unfinished_job.py"
    counted = [int(line) for line in
               place.plain(script, where).stdout.splitlines()[:2]
               if line.isdigit()]
    result = place.attached(script, where, policy="observe")
    assert result.returncode != 0
    report = place.report(result)
    assert report["step"]["complete"] is False
    assert report["step"]["index"] == 0
    assert report["saved"]["baseline_bytes"] == counted[-1]
    assert sum(row["baseline_bytes"] for row in report["layers"]) == \
        counted[-1]
    # The end line says the same.
    assert f" of {counted[-1]} B" in result.stderr or \
        f"{counted[-1] / 1024:.1f} KiB" in result.stderr
