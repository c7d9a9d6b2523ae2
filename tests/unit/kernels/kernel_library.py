"""kernel_api.h for ctypes: the functions of a kernel library on tensors."""
import ctypes

import torch

DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64


def _function(*pointers):
    return ctypes.CFUNCTYPE(_INT, *pointers, _LONG, _INT, _POINTER)


class Activation(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32), ("device", ctypes.c_uint32),
        ("op", ctypes.c_char_p), ("variant", ctypes.c_char_p),
        ("dtypes", ctypes.c_uint32), ("side_bits", ctypes.c_uint32),
        ("forward_exact", ctypes.c_uint32), ("reserved", ctypes.c_uint32),
        ("error_max", ctypes.c_double * 3), ("error_rms", ctypes.c_double * 3),
        ("forward", _function(*[_POINTER] * 3)),
        ("backward", _function(*[_POINTER] * 4)),
        ("reconstruct", _function(*[_POINTER] * 3)),
        ("mark", _function(*[_POINTER] * 3)),
    ]


_ADD = ctypes.CFUNCTYPE(_INT, _POINTER, ctypes.POINTER(Activation))


class _Registry(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("abi", ctypes.c_uint32),
                ("ctx", _POINTER), ("add", _ADD)]


def load(path):
    """{(op, variant): Activation} of a kernel library, as a host loads it."""
    library = ctypes.CDLL(str(path))
    found = {}

    def add(_, activation):
        made = activation.contents
        assert made.size == ctypes.sizeof(Activation)
        found[made.op.decode(), made.variant.decode()] = made
        return 0

    registry = _Registry(ctypes.sizeof(_Registry), 1, None, _ADD(add))
    assert library.invact_register_kernels(ctypes.byref(registry)) == 0
    return found


def _stream(tensor):
    if not tensor.is_cuda:
        return None
    return torch.cuda.current_stream(tensor.device).cuda_stream


def new_side(x):
    return torch.empty((x.numel() + 7) // 8, dtype=torch.uint8,
                       device=x.device)


def forward(activation, x, y, side):
    assert activation.forward(x.data_ptr(), y.data_ptr(), side.data_ptr(),
                              x.numel(), DTYPES[x.dtype], _stream(x)) == 0


def mark(activation, x, side):
    assert activation.mark(x.data_ptr(), None, side.data_ptr(), x.numel(),
                           DTYPES[x.dtype], _stream(x)) == 0


def backward(activation, y, side, dy, dx):
    assert activation.backward(y.data_ptr(), side.data_ptr(), dy.data_ptr(),
                               dx.data_ptr(), y.numel(), DTYPES[y.dtype],
                               _stream(y)) == 0
