"""The kernels on the outputs that the installed PyTorch really gives, and the
C++ reference against PyTorch's float64 and mpmath."""
import ctypes
import os
import typing

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed")
import kernel_library  # noqa: E402  (needs torch)

F = torch.nn.functional

class Op(typing.NamedTuple):
    reference: int  # enum invact_reference_function
    op: bytes
    variant: bytes
    function: typing.Callable
    scalars: tuple = ()


OPS = {
    "gelu": Op(0, b"aten::gelu", b"none", F.gelu),
    "gelu_tanh": Op(1, b"aten::gelu", b"tanh",
                    lambda x: F.gelu(x, approximate="tanh")),
    "silu": Op(2, b"aten::silu", b"", F.silu),
    "mish": Op(3, b"aten::mish", b"", F.mish),
    "hardswish": Op(4, b"aten::hardswish", b"", F.hardswish),
    "softplus": Op(5, b"aten::softplus", b"", F.softplus, (1, 20)),
    "softplus_3_30": Op(6, b"aten::softplus", b"",
                        lambda x: F.softplus(x, 3, 30), (3, 30)),
    "log_sigmoid": Op(7, b"aten::log_sigmoid_forward", b"", F.logsigmoid),
    "hardsigmoid": Op(8, b"aten::hardsigmoid", b"", F.hardsigmoid),
    "leaky_relu_falling": Op(9, b"aten::leaky_relu", b"",
                             lambda x: F.leaky_relu(x, -0.125), (-0.125,)),
}
DTYPES = kernel_library.DTYPES
POINTER, INT, LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64


@pytest.fixture(scope="module")
def library():
    loaded = ctypes.CDLL(os.environ["INVACT_KERNELS_FOR_PYTHON"])
    loaded.FindActivation.restype = ctypes.POINTER(
        kernel_library.Activation)
    loaded.ReferenceMinimum.restype = ctypes.c_double
    loaded.ReferenceInverse.restype = ctypes.c_double
    loaded.ReferenceInverse.argtypes = [INT, ctypes.c_double, INT]
    return loaded


def find(library, name):
    found = library.FindActivation(OPS[name].op, OPS[name].variant).contents
    assert found.size == ctypes.sizeof(kernel_library.Activation)
    for dtype, number in DTYPES.items():
        if found.table_dtypes >> number & 1:
            prepare(library, found, name, dtype)
    return found


def prepare(library, activation, name, dtype):
    """With what the installed PyTorch gives for each pattern."""
    x = inputs(dtype)
    _, slope = reference(library, name, x)
    kernel_library.prepare(activation, OPS[name].function(x), slope.float())


def reference(library, name, x):
    x = x.double().contiguous()
    value, slope = torch.empty_like(x), torch.empty_like(x)
    library.ReferenceValues(OPS[name].reference, POINTER(x.data_ptr()),
                            POINTER(value.data_ptr()),
                            POINTER(slope.data_ptr()), LONG(x.numel()))
    return value, slope


def inputs(dtype):
    if dtype == torch.float32:
        return torch.linspace(-14, 30, 1_000_001)
    patterns = torch.arange(65536, dtype=torch.int32).to(torch.int16)
    return patterns.view(dtype)


def mark(activation, name, x):
    if not activation.side_bits:
        return None
    side = kernel_library.new_side(x)
    kernel_library.mark(activation, x, side, OPS[name].scalars)
    return side


def backward(activation, name, y, side, dy):
    dx = torch.empty_like(dy)
    kernel_library.backward(activation, y, side, dy, dx, OPS[name].scalars)
    return dx


def eager(name, x, dy):
    """y and dx."""
    leaf = x.clone().requires_grad_()
    y = OPS[name].function(leaf)
    y.backward(dy)
    return y.detach(), leaf.grad


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", OPS)
def test_gradient_from_torchs_own_output_is_within_the_stated_bound(
        library, name, dtype):
    activation = find(library, name)
    x = inputs(dtype)
    y = OPS[name].function(x)

    dx = backward(activation, name, y, mark(activation, name, x),
                  torch.ones_like(y))

    finite = torch.isfinite(x)
    _, slope = reference(library, name, x[finite])
    got = dx[finite].double()
    half_step = got.abs() * torch.finfo(dtype).eps / 2
    error = (got - slope).abs() - half_step
    assert not got.isnan().any()
    worst = int(error.argmax())
    assert error[worst] <= activation.error_max[DTYPES[dtype]], (
        f"at x = {x[finite][worst].item()}")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", OPS)
def test_no_nan_where_eager_has_none(library, name, dtype):
    activation = find(library, name)
    x = torch.cat([inputs(dtype), torch.tensor(
        [0.0, -0.0, float("inf"), -float("inf"), float("nan"),
         torch.finfo(dtype).max, torch.finfo(dtype).min,
         torch.finfo(dtype).tiny, -torch.finfo(dtype).tiny], dtype=dtype)])
    y, expected = eager(name, x, torch.ones_like(x))

    dx = backward(activation, name, y, mark(activation, name, x),
                  torch.ones_like(x))

    # Of a NaN hardswish gives 1 or NaN, as the place in the tensor has it.
    assert not (dx.isnan() & ~expected.isnan() & ~x.isnan()).any()
    assert not (expected.isnan() & ~dx.isnan() & x.isnan()).any() or (
        name == "hardswish")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_hardsigmoids_gradient_has_the_bits_of_eagers(library, dtype):
    activation = find(library, "hardsigmoid")
    x = inputs(dtype)
    if dtype == torch.float32:
        near = [torch.tensor(kink).view(torch.int32) + torch.arange(
            -100_000, 100_000, dtype=torch.int32) for kink in (-3.0, 3.0)]
        x = torch.cat([x, *(bits.view(torch.float32) for bits in near)])
        # The one x whose y does not tell on which side of a kink it lies.
        x = x[x != 2.9999997615814209]
    for dy in (torch.randn(x.numel()).to(dtype),
               torch.full_like(x, float("inf"))):
        y, expected = eager("hardsigmoid", x, dy)

        dx = backward(activation, "hardsigmoid", y, None, dy)

        bits = torch.int32 if dtype == torch.float32 else torch.int16
        assert torch.equal(dx.view(bits), expected.view(bits))


@pytest.mark.parametrize("name, kink, slope", [
    ("hardswish", -3.0, 0.0), ("hardswish", 3.0, 1.0),
    ("hardsigmoid", -3.0, 0.0), ("hardsigmoid", 3.0, 0.0)])
def test_kinks_are_as_eager_has_them(library, name, kink, slope):
    for dtype in DTYPES:
        x = torch.full((16,), kink, dtype=dtype)
        activation = find(library, name)
        y, expected = eager(name, x, torch.ones_like(x))

        dx = backward(activation, name, y, mark(activation, name, x),
                      torch.ones_like(x))

        assert (expected == slope).all()
        assert (dx == slope).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", OPS)
def test_own_forward_differs_from_torchs_by_little(library, name, dtype):
    """Prints how often: the figures of docs/kernels.md."""
    activation = find(library, name)
    x = inputs(dtype)
    x = x[torch.isfinite(x) & (x.abs() < 1e4)]
    y, side = torch.empty_like(x), mark(activation, name, x)
    bits = None if side is None else torch.empty_like(side)

    kernel_library.forward(activation, x, y, bits, OPS[name].scalars)

    truth = OPS[name].function(x)
    assert side is None or torch.equal(bits, side)
    different = (y != truth).double().mean().item()
    print(f"{name} {dtype}: {different:.2%} of the outputs differ")
    difference = (y.double() - truth.double()).abs()
    # Below the smallest normal number a last place is no longer relative.
    info = torch.finfo(dtype)
    allowed = (truth.double().abs() * info.eps * 2 + info.tiny * info.eps
               + x.double().abs() * 2.0 ** -21)
    # PyTorch's bfloat16 GELU flushes subnormals to zero, ours does not.
    exact, _ = reference(library, name, x)
    nearer = (y.double() - exact).abs() < (truth.double() - exact).abs()
    assert ((difference <= allowed) | nearer).all()


@pytest.mark.parametrize("name", OPS)
def test_reference_equals_torchs_float64(library, name):
    x = torch.linspace(-30, 40, 200_001, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    y = OPS[name].function(leaf)
    y.sum().backward()

    value, slope = reference(library, name, x)

    torch.testing.assert_close(value, y.detach(), rtol=1e-13, atol=1e-14)
    # PyTorch's hardsigmoid has 1 / 6 in float32, in float64 too.
    rtol = 1e-7 if name == "hardsigmoid" else 1e-13
    torch.testing.assert_close(slope, leaf.grad, rtol=rtol, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in OPS
                                  if "hard" not in name and "relu" not in name])
def test_reference_equals_mpmath(library, name):
    mp = mpmath.mp.clone() if hasattr(mpmath.mp, "clone") else mpmath.mp
    mp.dps = 90  # 1 + tanh(z) cancels
    functions = {
        "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
        "gelu_tanh": lambda x: x * (1 + mp.tanh(
            mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x ** 3))) / 2,
        "silu": lambda x: x / (1 + mp.exp(-x)),
        "mish": lambda x: x * mp.tanh(mp.log1p(mp.exp(x))),
        "softplus": lambda x: mp.log1p(mp.exp(x)),
        "softplus_3_30": lambda x: mp.log1p(mp.exp(3 * x)) / 3,
        "log_sigmoid": lambda x: -mp.log1p(mp.exp(-x)),
    }
    f = functions[name]
    points = [-12, -5.5, -3, -1.3, -0.75, -0.1, 1e-6, 0.4, 1, 2.5, 7, 20]

    value, slope = reference(library, name, torch.tensor(points))

    for i, point in enumerate(torch.tensor(points).double().tolist()):
        x = mp.mpf(point)
        assert abs(value[i].item() - f(x)) <= 1e-13 * abs(f(x)) + 1e-300
        truth = mp.diff(f, x)
        assert abs(slope[i].item() - truth) <= 1e-12 * abs(truth) + 1e-16
    lowest = library.ReferenceMinimum(OPS[name].reference)
    if lowest != lowest:  # f only rises
        lowest = -0.5
    else:
        assert abs(mp.diff(f, mp.mpf(lowest))) < 1e-12
    for left, x in ((1, -3.0), (1, lowest - 0.01), (0, lowest + 0.01),
                    (0, 0.5), (0, 5.0)):
        back = library.ReferenceInverse(OPS[name].reference, float(f(mp.mpf(x))), left)
        assert abs(back - x) < 1e-12
