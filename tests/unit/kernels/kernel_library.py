"""kernel_api.h for ctypes: the functions of a kernel library on tensors."""
import ctypes

import torch

DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64


class Call(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("dtype", ctypes.c_int32),
                ("stream", _POINTER), ("parameters", _POINTER),
                ("flags", ctypes.c_uint32)]


class Patterns(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("reserved", ctypes.c_uint32),
                ("y", _POINTER), ("slope", _POINTER)]


def _function(*pointers):
    return ctypes.CFUNCTYPE(_INT, ctypes.POINTER(Call), *pointers, _LONG)


class Activation(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32), ("device", ctypes.c_uint32),
        ("op", ctypes.c_char_p), ("variant", ctypes.c_char_p),
        ("dtypes", ctypes.c_uint32), ("side_bits", ctypes.c_uint32),
        ("forward_exact", ctypes.c_uint32), ("parameters", ctypes.c_uint32),
        ("table_dtypes", ctypes.c_uint32), ("flags", ctypes.c_uint32),
        ("error_max", ctypes.c_double * 3), ("error_rms", ctypes.c_double * 3),
        ("accepts", ctypes.CFUNCTYPE(_INT, _POINTER)),
        ("prepare", ctypes.CFUNCTYPE(_INT, ctypes.POINTER(Call),
                                     ctypes.POINTER(Patterns))),
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

    registry = _Registry(ctypes.sizeof(_Registry), 2, None, _ADD(add))
    assert library.invact_register_kernels(ctypes.byref(registry)) == 0
    return found


BIT_IN_Y = 1  # of a call's flags
SERVES_BIT_IN_Y = 2  # of an activation's


def call_of(tensor, scalars=(), flags=0):
    stream = None
    if tensor.is_cuda:
        stream = torch.cuda.current_stream(tensor.device).cuda_stream
    # The array lives as long as the call that holds its address.
    call = Call(ctypes.sizeof(Call), DTYPES[tensor.dtype], stream, None, flags)
    if scalars:
        call.kept = (ctypes.c_double * len(scalars))(*scalars)
        call.parameters = ctypes.addressof(call.kept)
    return call


def new_side(x):
    return torch.empty((x.numel() + 7) // 8, dtype=torch.uint8,
                       device=x.device)


def _address(side):
    return None if side is None else side.data_ptr()


def prepare(activation, y, slope):
    """Tells of a dtype in bits of y (in y's memory) and float32 slopes of all
    65536 patterns."""
    y_bits = y.view(torch.int16).cpu().contiguous()
    slopes = slope.float().cpu().contiguous()
    patterns = Patterns(ctypes.sizeof(Patterns), 0, y_bits.data_ptr(),
                        slopes.data_ptr())
    assert activation.prepare(call_of(y), patterns) == 0


def forward(activation, x, y, side, scalars=(), flags=0):
    assert activation.forward(call_of(x, scalars, flags), x.data_ptr(), y.data_ptr(),
                              _address(side), x.numel()) == 0


def mark(activation, x, side, scalars=()):
    assert activation.mark(call_of(x, scalars), x.data_ptr(), None, side.data_ptr(),
                           x.numel()) == 0


def backward(activation, y, side, dy, dx, scalars=(), flags=0):
    assert activation.backward(call_of(y, scalars, flags), y.data_ptr(),
                               _address(side), dy.data_ptr(), dx.data_ptr(),
                               y.numel()) == 0
