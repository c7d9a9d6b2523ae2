"""What others do for GELU and SiLU, as functions of tensors: made for the
benchmark beside this file, used nowhere else.

optiacts is the method of arXiv 2407.15545 with the approximations that its
authors published: a packed bit left or right of the minimum, and a formula in
the output on either side, in the dtype of the tensor. Their SiLU gives NaN where
a 16-bit output is rounded below the minimum.
"""
import torch


def pack(bits):
    flat = bits.view(-1, 8).byte()
    shifts = torch.arange(8, device=bits.device, dtype=torch.uint8)
    return (flat << shifts).sum(axis=1, dtype=torch.uint8)


def unpack(packed, shape):
    shifts = torch.arange(8, device=packed.device, dtype=torch.uint8)
    return ((packed[:, None] >> shifts) & 1).bool().view(shape)


def gelu_left(y):
    share = torch.clamp((y + 0.16997120747990369) / 0.16997120747990369, 0, 1)
    return (0.0012176597919768537 - 0.2964121012745849
            * share ** 0.44236329315571304 * (1 - share) ** 0.8312705290392689)


def gelu_right(y):
    depth = torch.clamp(y + 0.16997120747990369, 0)
    decay = torch.exp((-2.1198850898439496 - depth) ** 3 * 0.03214673676937606)
    return 1 + decay * (-1.383717971214795 + 1.5584201843500274
                        * torch.sqrt(depth) + 0.04404574801811055 * depth)


def silu_left(y):
    depth = y + 0.2784645427610738
    return (-0.5076843705082636 * torch.sqrt(depth)
            + (0.3574942048593756 * depth + 0.07963139766917564) * depth
            + 0.21717700759576886)


def silu_right(y):
    depth = y + 0.2784645427610738
    decay = torch.exp((-5.770613302664509 - depth) ** 3
                      * 0.0026961639850448835)
    return 1 + decay * (-1.3108564021309803 + 0.8485896470316523
                        * torch.sqrt(depth) - 0.16299051259510922 * depth)


# Compiled as their authors compile them: GELU in parts, SiLU whole.
_pack, _unpack = torch.compile(pack), torch.compile(unpack)
_gelu_left, _gelu_right = torch.compile(gelu_left), torch.compile(gelu_right)


def gelu_forward(x):
    return torch.nn.functional.gelu(x), _pack(x < -0.7517915246935645)


def gelu_backward(y, packed, dy):
    return dy * torch.where(_unpack(packed, y.shape), _gelu_left(y),
                            _gelu_right(y))


@torch.compile
def silu_forward(x):
    return torch.nn.functional.silu(x), pack(x < -1.278464542761074)


@torch.compile
def silu_backward(y, packed, dy):
    gate = torch.where(unpack(packed, y.shape), silu_left(y), silu_right(y))
    return dy * (gate * (1 - y) + y)
