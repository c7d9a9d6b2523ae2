"""Transformers: the oracle's bytes, and the known bytes of one block."""

import pathlib

import pytest

from job import runs_of
from models_job import CASES, HIDDEN, TOKENS
from probe import cases_of
from recount import differences

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    results = runs_of(tmp_path_factory.mktemp("models"),
                      HERE / "models_job.py", "observe", "invert")
    return {name: (result, cases_of(result))
            for name, result in results.items()}


def _case(runs, policy, name):
    case = runs[policy][1][name]
    assert case["error"] is None, (policy, case["error"])
    return case


@pytest.mark.parametrize("policy", ("observe", "invert"))
@pytest.mark.parametrize("name", CASES)
def test_baseline_equals_the_oracle_to_the_byte(runs, policy, name):
    expected = [s["baseline"] for s in _case(runs, "plain", name)["steps"]]
    steps = _case(runs, policy, name)["steps"]
    assert [s["baseline"] for s in steps] == expected
    assert _case(runs, policy, name)["alive"] == 0


@pytest.mark.parametrize("policy", ("observe", "invert"))
def test_the_ledger_log_adds_up(runs, policy):
    assert differences(runs[policy][0].recount()) == []


def _block(runs, policy, name, field):
    """Bytes per token and unit of hidden size that one block adds."""
    steps = _case(runs, policy, name)["steps"]
    # One block with 2 and 4 rows, then two blocks; two steps each.
    one_2, one_4, two_2, two_4 = (steps[i][field] for i in (1, 3, 5, 7))
    tokens = TOKENS + 1 if name.startswith("vit") else TOKENS
    return ((two_4 - one_4) - (two_2 - one_2)) / (2 * tokens * HIDDEN)


# Published sums of tensors: 34 with two dropout masks of a byte, which are off
# here; 49 for Llama with k and v of a quarter, 52 with whole ones. What is
# above is attention's log-sum-exp and the norms' statistics.
BLOCKS = {"bert": 32, "vit": 32, "gpt2": 32, "llama": 52}
# The activation's input less a bit an element: GELU's 4 hidden, SiLU's 3.5.
INVERTED = {"bert": 8 - 0.5, "vit": 8 - 0.5, "gpt2": 8 - 0.5,
            "llama": 7 - 7 / 16}


@pytest.mark.parametrize("model", BLOCKS)
def test_one_block_adds_its_known_bytes(runs, model):
    name = f"{model}_bfloat16"
    baseline = _block(runs, "invert", name, "baseline")
    held = _block(runs, "invert", name, "held")
    assert BLOCKS[model] <= baseline <= BLOCKS[model] + 0.2
    assert baseline - held == INVERTED[model]


@pytest.mark.parametrize("model", BLOCKS)
def test_twice_the_width_in_float32(runs, model):
    whole = {"llama": 96}.get(model, 2 * BLOCKS[model])
    held = _block(runs, "invert", f"{model}_float32", "held")
    baseline = _block(runs, "invert", f"{model}_float32", "baseline")
    assert whole <= baseline <= whole + 0.3
    bits = {"llama": 7 / 16}.get(model, 0.5)
    assert baseline - held == 2 * (INVERTED[model] + bits) - bits


def test_a_composite_gelu_is_not_inverted(runs):
    for step in _case(runs, "invert", "gpt2_with_a_composite_gelu")["steps"]:
        assert step["eliminated"] == 0


def test_the_models_own_checkpointing_changes_nothing_for_it(runs):
    name = "llama_with_its_own_checkpointing"
    for policy in ("observe", "invert"):
        assert _case(runs, policy, name)["near"] == pytest.approx(
            _case(runs, "plain", name)["near"],
            rel=0 if policy == "observe" else 1e-4)
