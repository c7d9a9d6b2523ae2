"""The kernels on the outputs that the installed PyTorch really gives, and the
C++ reference against PyTorch's float64 and mpmath."""
import ctypes
import os

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed")
import kernel_library  # noqa: E402  (needs torch)

F = torch.nn.functional

OPS = {
    "gelu": (0, b"aten::gelu", b"none", F.gelu),
    "gelu_tanh": (1, b"aten::gelu", b"tanh",
                  lambda x: F.gelu(x, approximate="tanh")),
    "silu": (2, b"aten::silu", b"", F.silu),
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
    found = library.FindActivation(*OPS[name][1:3]).contents
    assert found.size == ctypes.sizeof(kernel_library.Activation)
    return found


def reference(library, name, x):
    x = x.double().contiguous()
    value, slope = torch.empty_like(x), torch.empty_like(x)
    library.ReferenceValues(OPS[name][0], POINTER(x.data_ptr()),
                            POINTER(value.data_ptr()),
                            POINTER(slope.data_ptr()), LONG(x.numel()))
    return value, slope


def inputs(dtype):
    if dtype == torch.float32:
        return torch.linspace(-14, 30, 1_000_001)
    patterns = torch.arange(65536, dtype=torch.int32).to(torch.int16)
    return patterns.view(dtype)


def mark(activation, x):
    side = kernel_library.new_side(x)
    kernel_library.mark(activation, x, side)
    return side


def backward(activation, y, side, dy):
    dx = torch.empty_like(dy)
    kernel_library.backward(activation, y, side, dy, dx)
    return dx


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", OPS)
def test_gradient_from_torchs_own_output_is_within_the_stated_bound(
        library, name, dtype):
    activation = find(library, name)
    x = inputs(dtype)
    y = OPS[name][3](x)

    dx = backward(activation, y, mark(activation, x), torch.ones_like(y))

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
    leaf = x.clone().requires_grad_()
    y = OPS[name][3](leaf)
    y.backward(torch.ones_like(y))

    dx = backward(activation, y.detach(), mark(activation, x),
                  torch.ones_like(x))

    assert not (dx.isnan() & ~leaf.grad.isnan()).any()
    assert not (leaf.grad.isnan() & ~dx.isnan() & x.isnan()).any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", OPS)
def test_own_forward_differs_from_torchs_by_little(library, name, dtype):
    """Prints how often: the figures of docs/kernels.md."""
    activation = find(library, name)
    x = inputs(dtype)
    x = x[torch.isfinite(x) & (x.abs() < 1e4)]
    y, side = torch.empty_like(x), mark(activation, x)
    bits = torch.empty_like(side)

    kernel_library.forward(activation, x, y, bits)

    truth = OPS[name][3](x)
    assert torch.equal(bits, side)
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
    y = OPS[name][3](leaf)
    y.sum().backward()

    value, slope = reference(library, name, x)

    torch.testing.assert_close(value, y.detach(), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(slope, leaf.grad, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", OPS)
def test_reference_equals_mpmath(library, name):
    mp = mpmath.mp.clone() if hasattr(mpmath.mp, "clone") else mpmath.mp
    mp.dps = 90  # 1 + tanh(z) cancels
    functions = {
        "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
        "gelu_tanh": lambda x: x * (1 + mp.tanh(
            mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x ** 3))) / 2,
        "silu": lambda x: x / (1 + mp.exp(-x)),
    }
    f = functions[name]
    points = [-12, -5.5, -3, -1.3, -0.75, -0.1, 1e-6, 0.4, 1, 2.5, 7, 20]

    value, slope = reference(library, name, torch.tensor(points))

    for i, point in enumerate(torch.tensor(points).double().tolist()):
        x = mp.mpf(point)
        assert abs(value[i].item() - f(x)) <= 1e-13 * abs(f(x)) + 1e-300
        truth = mp.diff(f, x)
        assert abs(slope[i].item() - truth) <= 1e-12 * abs(truth) + 1e-16
    lowest = library.ReferenceMinimum(OPS[name][0])
    assert abs(mp.diff(f, mp.mpf(lowest))) < 1e-12
    for left, x in ((1, -3.0), (1, lowest - 0.01), (0, lowest + 0.01),
                    (0, 0.5), (0, 9.0)):
        back = library.ReferenceInverse(OPS[name][0], float(f(mp.mpf(x))), left)
        assert abs(back - x) < 1e-12
