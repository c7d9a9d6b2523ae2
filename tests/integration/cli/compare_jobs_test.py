"""invact compare of a real job: what it saves is what its reports say, losses and
gradients are equal exactly where they are, and the guest knows the variables
that tell a run which one it is."""

import json
import pathlib
import sys
import textwrap

from place import BIN

TRAIN = pathlib.Path(__file__).parents[3] / "examples" / "train_lm.py"
SMALL = ("--layers 2 --width 64 --context 32 --batch 2 --text-bytes 100000 "
         "--steps 6")


def test_a_real_job_is_measured_under_each_policy(place):
    logs = place.folder / "logs"
    script = ('if [ "$INVACT_COMPARE_POLICY" = auto ]; then exit 3; fi; '
              f'exec {sys.executable} {TRAIN} {SMALL}')
    comparison = json.loads(place.ok(
        "compare", "--json", "--policies", "observe,auto,invert,checkpoint",
        "--rounds", 2,
        "--logs", logs, "--", "sh", "-c", script, timeout=500))

    observe, auto, invert, checkpoint = comparison["policies"]
    assert (auto["end_reason"], auto["exit_code"]) == ("exit", 3)
    assert auto["saved"] is None and len(auto["rounds"]) == 1
    for row in observe, invert, checkpoint:
        assert (row["end_reason"], row["exit_code"], row["steps"]) == (
            "exit", 0, 6)
        assert row["timing"]["clock"] == "host"
        assert row["timing"]["steps"] == 12
    # Checkpointing repeats the forward to the bit; inverting rounds.
    for row in observe, checkpoint:
        assert (row["loss_equal"], row["gradients"]) == (True, "equal"), row
        assert row["gradients_first_step"] is row["loss_first_step"] is None
        assert row["notes"] == []
    assert checkpoint["saved"]["eliminated_fraction"] > 0.5
    assert invert["gradients"] == "differ"
    assert invert["gradients_first_step"] == 0
    # The last layer's comes before any activation; a GELU's own comes after.
    assert "blocks.0.mlp.up.weight" in invert["gradients_differing"]
    assert "norm.weight" not in invert["gradients_differing"]
    assert len(invert["gradients_differing"]) == min(
        20, invert["gradients_differing_count"])
    # Losses of the first step are those of the same weights.
    assert invert["loss_equal"] is False and invert["loss_first_step"] > 0
    assert (auto["loss_equal"], auto["gradients"]) == (None, "unseen")
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


def test_a_job_that_does_not_repeat_itself_is_told(place):
    code = textwrap.dedent("""
        import os, torch
        torch.manual_seed(7 if os.environ["INVACT_COMPARE_ROUND"] == "1" else 8)
        net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh())
        for step in range(2):
            net(torch.ones(3, 4)).square().mean().backward()
    """)
    comparison = json.loads(place.ok(
        "compare", "--json", "--policies", "observe", "--rounds", 2, "--",
        sys.executable, "-c", code, timeout=200))

    observe, = comparison["policies"]
    assert observe["gradients"] == "differ"
    assert observe["gradients_first_step"] == 0
    assert observe["gradients_differing"] == ["0.bias", "0.weight"]
    assert (observe["loss_equal"], observe["loss_first_step"]) == (False, 0)
    assert any("the job does not repeat itself" in note
               for note in observe["notes"])


def test_a_cpp_job_is_compared_as_well(place):
    comparison = json.loads(place.ok(
        "compare", "--json", "--policies", "observe,invert", "--rounds", 2,
        "--", BIN / "invact_example_cpp", "--steps", 3, "--width", 64, "--layers",
        2, "--text", pathlib.Path(json.__file__).parent, timeout=200))

    observe, invert = comparison["policies"]
    assert (observe["loss_equal"], observe["gradients"]) == (True, "equal")
    assert invert["gradients"] == "differ"
    assert all(name.startswith("leaf ")
               for name in invert["gradients_differing"])
