"""invact compare of a real job: what it saves is what its reports say, and the
guest knows the variables that tell a run which one it is."""

import json
import pathlib
import sys

TRAIN = pathlib.Path(__file__).parents[3] / "examples" / "train_lm.py"
SMALL = ("--layers 2 --width 64 --context 32 --batch 2 --text-bytes 100000 "
         "--steps 6")


def test_a_real_job_is_measured_under_each_policy(place):
    logs = place.folder / "logs"
    script = ('if [ "$INVACT_COMPARE_POLICY" = auto ]; then exit 3; fi; '
              f'exec {sys.executable} {TRAIN} {SMALL}')
    comparison = json.loads(place.ok(
        "compare", "--json", "--policies", "observe,auto,invert", "--rounds", 2,
        "--logs", logs, "--", "sh", "-c", script, timeout=500))

    observe, auto, invert = comparison["policies"]
    assert (auto["end_reason"], auto["exit_code"]) == ("exit", 3)
    assert auto["saved"] is None and len(auto["rounds"]) == 1
    for row in observe, invert:
        assert (row["end_reason"], row["exit_code"], row["steps"]) == (
            "exit", 0, 6)
        assert row["timing"]["clock"] == "host"
        assert row["timing"]["steps"] == 12
        assert row["gradients"] == "unseen"
    assert observe["saved"]["eliminated_bytes"] == 0
    assert invert["saved"]["baseline_bytes"] == (
        observe["saved"]["baseline_bytes"])
    assert invert["saved"]["eliminated_fraction"] > 0.1
    low, high = invert["added_fraction_interval"]
    assert low <= invert["added_fraction"] <= high
    assert observe["added_fraction"] is None
    for path in logs.glob("*.err"):
        assert "unknown key" not in path.read_text()
    assert "final loss" in (logs / "round2.invert.out").read_text()
