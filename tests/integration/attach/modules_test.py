"""Every module has its path, and no tool that looks at modules is disturbed."""

import pytest

from attach_support import JOBS

LAYERS = ["encoder.first.linear", "encoder.first", "layers.0.linear",
          "layers.0", "layers.1.linear", "layers.1", "tail.0", "tail.1"]
# What saves in each case, in that order: written by hand from the models.
NAMES = {
    "nested": LAYERS,
    "shared": ["0.linear", "0", "1"],
    "called_in_part_first": LAYERS,
    "two_models": ["linear", "", "<Sequential>.0", "<Sequential>.1",
                   "<MSELoss>"],
    "made_in_forward": ["inner.linear", "inner", "<Softplus>"],
    "overridden_call": ["0.linear", "0"],
    "keyword_arguments": ["inner.linear", "inner"],
    "after_an_exception": ["inner.linear", "inner"],
    "in_a_thread": ["0", "1"],
    "as_a_generator": ["inner.linear", "inner"],
    # The model that was traced was called and stands first. GELU is called by
    # the graph's own forward.
    "traced_by_fx": [
        "<Outer>.encoder.first.linear", "<Outer>", "<Outer>.layers.0.linear",
        "<Outer>.layers.1.linear", "<Outer>.tail.0", "<Outer>.tail.1"],
    # Calls inside TorchScript are not Python's.
    "scripted": [""],
    "compiled": ["_orig_mod"],
    "pickled": LAYERS,
    "hooked_by_the_user": LAYERS,
}


@pytest.fixture(scope="module")
def runs(place):
    plain = place.plain(JOBS / "modules.py")
    return plain, place.attached(JOBS / "modules.py", policy="observe",
                                 ledger=True)


def scopes_in_order(entries):
    """For each step the modules that saved, in the order of their first."""
    steps, now = [], []
    for entry in entries:
        if entry["e"] == "pack" and entry["scope"] not in now:
            now.append(entry["scope"])
        elif entry["e"] == "end":
            steps.append(now)
            now = []
    return steps


def test_no_tool_is_disturbed(runs):
    plain, seen = runs

    assert seen.answer == plain.answer == list(NAMES)
    assert seen.own_stderr == plain.own_stderr
    assert len(seen.lines) == 2  # start and end


@pytest.mark.parametrize("case", NAMES)
def test_what_saves_has_the_path_that_named_modules_gives(runs, case):
    steps = scopes_in_order(runs[1].entries())

    assert len(steps) == len(NAMES)
    assert steps[list(NAMES).index(case)] == NAMES[case]
