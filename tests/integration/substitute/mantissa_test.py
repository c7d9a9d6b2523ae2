"""INVACT_BITS=mantissa against eager, float64 and a floor by brute force."""

import math
import pathlib

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from activation_parts import true_slope  # noqa: E402
from job import Workplace  # noqa: E402
from mantissa_job import CASES, DTYPES, FUNCTIONS, values  # noqa: E402
from probe import cases_of  # noqa: E402

JOB = pathlib.Path(__file__).parent / "mantissa_job.py"
ALL = [(name, label) for name in FUNCTIONS for label in DTYPES]
SHORT = [(name, label) for name, label in ALL if label != "float32"]
WORD = {4: torch.int32, 2: torch.int16}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The attached job's cases and words, then y and dx of either."""
    folder = tmp_path_factory.mktemp("mantissa")
    with Workplace(folder) as place:
        out = {"MANTISSA_OUT": str(folder)}
        plain = cases_of(place.plain(JOB, "outputs_and_gradients",
                                     "what_is_not_finite", env=out))
        seen = place.attached(JOB, policy="invert",
                              env={**out, "INVACT_BITS": "mantissa"})
        return (cases_of(seen), seen.stderr, torch.load(folder / "plain.pt"),
                torch.load(folder / "seen.pt"), plain)


def words(tensor):
    return tensor.view(WORD[tensor.itemsize]).to(torch.int64)


def changed(y, left):
    """Eager's y as the documentation says that it is changed."""
    bits = words(y)
    return torch.where(torch.signbit(y) & y.isfinite(),
                       bits & ~1 | left.long(), bits)


def normal_weight(x):
    """What N(0, 1) gives to the values nearest to each of x."""
    ordered, order = x.double().sort()
    middles = (ordered[1:] + ordered[:-1]) / 2
    below = torch.cat([torch.zeros(1).double(),
                       0.5 * torch.erfc(-middles / math.sqrt(2)),
                       torch.ones(1).double()])
    weight = torch.empty_like(ordered)
    weight[order] = below[1:] - below[:-1]
    return weight


def floor(codes, slope, weight):
    """The least error of any decoder of these codes: largest, RMS."""
    members = {}
    for code, s, w in zip(codes.tolist(), slope.tolist(), weight.tolist()):
        members.setdefault(code, []).append((s, w))
    worst, variance = 0.0, 0.0
    for group in members.values():
        slopes = [s for s, _ in group]
        worst = max(worst, (max(slopes) - min(slopes)) / 2)
        total = sum(w for _, w in group)
        if total > 0:
            mean = sum(s * w for s, w in group) / total
            variance += sum(w * (s - mean) ** 2 for s, w in group)
    return worst, math.sqrt(variance)


@pytest.mark.parametrize("name", CASES)
def test_every_program_runs_to_its_end(runs, name):
    assert runs[0][name]["error"] is None, runs[0][name]["error"]
    assert runs[0][name]["alive"] == 0


@pytest.mark.parametrize("name, label", ALL)
def test_outputs_change_as_documented_and_no_others(runs, name, label):
    """Positive outputs have eager's bits; of negative ones the lowest bit
    tells the side of the minimum."""
    assert runs[0]["outputs_and_gradients"]["facts"][f"{name}_{label}"]
    eager, seen = runs[2][f"{name}_{label}"][0], runs[3][f"{name}_{label}"][0]
    # Kernels compare with the minimum in float32.
    left = values(DTYPES[label]).float() < FUNCTIONS[name][1]

    assert torch.equal(words(seen), changed(eager, left))
    assert torch.equal(words(seen)[~torch.signbit(eager)],
                       words(eager)[~torch.signbit(eager)])


@pytest.mark.parametrize("name, label", SHORT)
def test_gradients_are_near_the_floor_of_what_is_stored(runs, name, label):
    function, minimum = FUNCTIONS[name]
    x = values(DTYPES[label])
    slope, weight = true_slope(function, x), normal_weight(x)
    worst, typical = floor(
        changed(runs[2][f"{name}_{label}"][0], x.double() < minimum), slope,
        weight)

    dx = runs[3][f"{name}_{label}"][1].double()

    assert not dx.isnan().any()
    half_step = dx.abs() * torch.finfo(DTYPES[label]).eps / 2
    error = (dx - slope).abs()
    largest = float((error - half_step).max())
    rms = math.sqrt(float((weight * error ** 2).sum()))
    rounding = math.sqrt(float((weight * half_step ** 2).sum()))
    print(f"{name} {label}: floor {worst:.3e} {typical:.3e}, largest "
          f"{largest:.3e}, rms {rms:.3e} with dx's rounding {rounding:.1e}")
    assert largest <= 1.5 * worst
    assert rms <= math.hypot(1.2 * typical, rounding)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_gradients_stay_within_twice_the_packed_bounds(runs, name):
    x = values(torch.float32)
    error = (runs[3][f"{name}_float32"][1].double()
             - true_slope(FUNCTIONS[name][0], x)).abs()
    print(f"{name}: largest {float(error.max()):.2e}")
    assert error.max() <= 3.2e-4
    assert error[:400_001].square().mean().sqrt() <= 4e-6


def test_what_is_not_finite_has_the_slope_that_eager_gives_it(runs):
    """Hardswish of -inf is NaN and has the slope 0; a NaN stays one."""
    plain = runs[4]["what_is_not_finite"]["notes"]
    seen = runs[0]["what_is_not_finite"]["notes"]
    assert len(plain) == len(ALL)
    assert all(runs[0]["what_is_not_finite"]["facts"].values())
    for name in plain:
        for i, x in enumerate(("-inf", "-1", "inf", "nan", "1", "nan",
                               "-inf")):
            (y, dx), (truth, slope) = ([kept[i] for kept in notes[name]]
                                       for notes in (seen, plain))
            if x == "nan":
                assert y is None and truth is None
                # Eager's vector code has 1 or 0 there in some dtypes.
                assert dx is None or name.startswith("hardswish")
            elif x in ("-inf", "inf"):
                assert y == truth, (name, x)
                # Eager's slope may be NaN where ours is the limit.
                assert slope is None or dx == slope, (name, x)
            else:
                assert dx == pytest.approx(slope, abs=2e-2), (name, x)


def test_an_output_that_nothing_else_keeps_gains_nothing(runs):
    steps = runs[0]["an_output_that_nothing_else_keeps"]["steps"]
    assert len(steps) == 2
    for step in steps:
        assert step["baseline"] == 1000 * 4 + 1000 * 8
        assert step["held"] == step["baseline"]


def test_nothing_is_held_beside_the_output(runs):
    steps = runs[0]["a_step_has_no_side_bytes"]["steps"]
    assert len(steps) == len(FUNCTIONS)
    for step in steps:
        assert step["side"] == 0
        assert step["held"] == step["baseline"] - 8 * 64 * 4


def test_a_write_to_the_output_does_not_reach_the_bits(runs):
    facts = runs[0]["an_output_that_is_overwritten"]["facts"]
    assert set(facts) == set(FUNCTIONS)
    for name, error in facts.items():
        assert error <= 3 * 3.2e-4, name


def test_second_derivatives_come_from_the_rebuilt_input(runs):
    facts = runs[0]["a_second_derivative"]["facts"]
    assert set(facts) == set(FUNCTIONS)
    for name, error in facts.items():
        assert error <= 1e-3, name


def test_a_second_reading_finds_the_same_bits(runs):
    assert runs[0]["a_graph_that_is_read_twice"]["facts"] == {"same": True}


def test_the_start_says_what_changes(runs):
    (line,) = [line for line in runs[1].splitlines() if ", policy " in line]
    assert "negative outputs" in line and "INVACT_BITS=packed" in line


@pytest.mark.parametrize("extra, what", [
    ({"INVACT_BITS": "mantissa", "INVACT_EXACT": "1"}, "INVACT_EXACT=1"),
    ({"INVACT_BITS": "loose"}, "neither packed nor mantissa")])
def test_what_can_not_be_runs_plain_and_says_so(tmp_path, extra, what):
    with Workplace(tmp_path) as place:
        seen = place.attached(
            "-c", "import torch; x = torch.linspace(-3, 3, 9)"
            ".requires_grad_(); y = torch.nn.functional.gelu(x * 1);"
            "(y * y).sum().backward(); print(y.tolist(), x.grad.tolist())",
            policy="invert", env=extra).check()
        plain = place.plain(
            "-c", "import torch; x = torch.linspace(-3, 3, 9)"
            ".requires_grad_(); y = torch.nn.functional.gelu(x * 1);"
            "(y * y).sum().backward(); print(y.tolist(), x.grad.tolist())")
    assert seen.stdout == plain.stdout
    (line,) = seen.stderr.splitlines()
    assert what in line and "the job runs plain" in line
