"""What the check of kernels before their first use finds out and leaves
behind, in real attached jobs."""

import json
import math
import pathlib

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from job import workplace  # noqa: E402

JOB = pathlib.Path(__file__).parent / "calibration_job.py"
F = torch.nn.functional
FUNCTIONS = {"aten::gelu": (F.gelu, -0.7517915247),
             "aten::silu": (F.silu, -1.2784645428),
             "aten::mish": (F.mish, -1.1924312145)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with workplace(tmp_path_factory.mktemp("calibration")) as made:
        yield made


@pytest.fixture(scope="module", params=["bfloat16", "float16", "float32"])
def run(request, place):
    """dtype, the job's output plain and attached, and the kernels of its run."""
    dtype = request.param
    plain = place.plain(JOB, dtype).check()
    seen = place.attached(JOB, dtype, policy="invert").check()
    place.report(seen)
    listed = json.loads(place.cli("kernels", seen.name, "--json").stdout)
    return dtype, plain, seen, {kernel["op"]: kernel
                                for kernel in listed["kernels"]}


def floor(function, minimum, dtype):
    """The least error of any decoder of y and the side of the minimum, by brute
    force: largest, and root mean square for x ~ N(0, 1)."""
    x = torch.arange(-32768, 32768, dtype=torch.int32).to(
        torch.int16).view(dtype)
    x = x[torch.isfinite(x)]
    exact = x.double().requires_grad_()
    (slope,) = torch.autograd.grad(function(exact).sum(), exact)
    values, order = exact.detach().sort()
    middles = (values[1:] + values[:-1]) / 2
    below = torch.cat([torch.zeros(1).double(),
                       0.5 * torch.erfc(-middles / math.sqrt(2)),
                       torch.ones(1).double()])
    weight = torch.empty_like(values)
    weight[order] = below[1:] - below[:-1]
    groups = {}
    for y, left, s, w in zip(function(x).view(torch.int16).tolist(),
                             (x.double() < minimum).tolist(), slope.tolist(),
                             weight.tolist()):
        groups.setdefault((y, left), []).append((s, w))
    worst, variance = 0.0, 0.0
    for members in groups.values():
        slopes = [s for s, _ in members]
        worst = max(worst, (max(slopes) - min(slopes)) / 2)
        total = sum(w for _, w in members)
        if total > 0:
            mean = sum(s * w for s, w in members) / total
            variance += sum(w * (s - mean) ** 2 for s, w in members)
    return worst, math.sqrt(variance)


def test_generators_give_what_they_give_without(run):
    _, plain, seen, _ = run
    assert seen.stdout == plain.stdout


def test_every_kernel_is_listed_with_its_floor_and_error(run):
    dtype, _, _, kernels = run
    assert set(kernels) == {*FUNCTIONS, "aten::leaky_relu"}
    for op, (function, minimum) in FUNCTIONS.items():
        kernel = kernels[op]
        assert kernel["served"] is True, kernel
        assert (kernel["dtype"], kernel["device"]) == (dtype, "cpu")
        assert (kernel["side_bits"], kernel["library"]) == (1, "built-in")
        if dtype == "float32":
            assert kernel["floor_max"] is None and kernel["floor_rms"] is None
            assert 0 < kernel["error_max"] <= kernel["stated_max"] + 1e-6
            continue
        worst, typical = floor(function, minimum, getattr(torch, dtype))
        assert kernel["floor_max"] == pytest.approx(worst, rel=1e-4)
        assert kernel["floor_rms"] == pytest.approx(typical, rel=1e-3)
        # One and a half, one and a fifth times the floor, and dx's rounding.
        step = 2 ** -8 if dtype == "bfloat16" else 2 ** -11
        assert worst <= kernel["error_max"] <= 1.5 * worst + step
        assert kernel["error_rms"] <= math.hypot(1.2 * typical, 0.4 * step)


def test_what_pytorchs_own_backward_serves_is_listed_as_its(run):
    kernel = run[3]["aten::leaky_relu"]
    assert (kernel["library"], kernel["served"]) == ("PyTorch", True)
    assert kernel["error_max"] is None
