"""Ways to write to a tensor: each is a function of the tensor alone.

All of them are tried on every place, whatever its dtype: where PyTorch refuses
the write, the refusal is what is compared.
"""

import numpy
import torch
from torch import nn
from torch.nn import functional as F

WRITES = {}


def _write(function):
    WRITES[function.__name__] = function
    return function


def _without_grad(function):
    def written(t):
        with torch.no_grad():
            function(t)
    WRITES[function.__name__] = written
    return written


def _other(t):
    """As large, with other values; the same in every process."""
    return torch.linspace(-2, 2, t.numel()).to(t.dtype).view(t.shape)


@_write
def in_place(t):
    t.add_(1)


@_without_grad
def in_place_without_grad(t):
    t.mul_(2)


@_write
def in_place_under_inference_mode(t):
    with torch.inference_mode():
        t.mul_(2)


@_without_grad
def copied_over(t):
    t.copy_(_other(t))


@_without_grad
def copied_over_from_numpy(t):
    shared = numpy.full(tuple(t.shape), 2.0, dtype=numpy.float32)
    t.copy_(torch.from_numpy(shared))


@_write
def through_a_view(t):
    t.view(-1)[5:20].fill_(0)


@_without_grad
def through_a_transposed_view(t):
    t.t().zero_()


@_without_grad
def by_setitem(t):
    t[:3] = 1


@_without_grad
def by_a_bool_index(t):
    t[_other(t) > 0] = 1


@_without_grad
def index_put(t):
    t.index_put_((torch.tensor([1, 2]),), torch.ones((), dtype=t.dtype))


@_without_grad
def index_add(t):
    t.index_add_(0, torch.tensor([0, 0]), torch.ones_like(t[:2]))


@_without_grad
def masked_fill(t):
    t.masked_fill_(_other(t) > 0, 0)


@_without_grad
def masked_scatter(t):
    t.masked_scatter_(_other(t) > 0, _other(t))


@_without_grad
def scatter(t):
    t.scatter_(0, torch.zeros(t.shape, dtype=torch.long), _other(t))


@_without_grad
def drawn_at_random(t):
    t.uniform_()


@_write
def inplace_relu(t):
    F.relu(t, inplace=True)


@_write
def by_init(t):
    nn.init.constant_(t, 0.25)


@_without_grad
def foreach_add(t):
    torch._foreach_add_([t], 1.0)


@_without_grad
def foreach_copy(t):
    torch._foreach_copy_([t], [_other(t)])


@_without_grad
def foreach_exp(t):
    torch._foreach_exp_([t])


def _optimizer(make, **options):
    def written(t):
        leaf = t if t.is_leaf else t.detach()
        before, leaf.grad = leaf.grad, torch.ones_like(leaf)
        make([leaf], lr=0.1, **options).step()
        leaf.grad = before
    kind = next(iter(options))
    WRITES[f"{make.__name__.lower()}_{kind}_{options[kind]}".lower()] = written


for _make in (torch.optim.SGD, torch.optim.AdamW):
    _optimizer(_make, foreach=False)
    _optimizer(_make, foreach=True)
    _optimizer(_make, fused=True)
_optimizer(torch.optim.Adagrad, foreach=True)


@_write
def into_data(t):
    t.data.add_(1)


@_write
def other_data(t):
    t.data = _other(t)


@_write
def through_detach(t):
    t.detach().sub_(1)


@_write
def through_an_alias(t):
    # With a version counter of its own.
    with torch.no_grad():
        torch.empty(0, dtype=t.dtype).set_(
            t.untyped_storage(), 0, t.shape, t.stride()).zero_()


@_without_grad
def out_argument(t):
    torch.add(_other(t), 1, out=t)


@_write
def out_argument_through_detach(t):
    torch.mul(_other(t), 2, out=t.detach())


@_without_grad
def another_storage(t):
    t.set_(_other(t))


@_write
def another_storage_under_data(t):
    t.data.set_(_other(t))


@_write
def resized_and_filled_again(t):
    storage = t.untyped_storage()
    size = storage.nbytes()
    storage.resize_(0)
    storage.resize_(size)
    t.data.copy_(_other(t))


@_write
def storage_filled(t):
    t.untyped_storage().fill_(0)


@_write
def storage_copied_over(t):
    t.untyped_storage().copy_(_other(t).untyped_storage())


@_write
def storage_item(t):
    t.untyped_storage()[1] = 1


@_write
def moved_to_shared_memory(t):
    t.detach().share_memory_()


@_without_grad
def transposed_in_place(t):
    t.t_()


@_write
def detached_in_place(t):
    t.detach_()


@_write
def nothing(t):
    pass


# What nothing saves may be resized away before the backward.
UNSAVED = (("CastOfABatch", "base"), ("ChainFromABatch", "base"))


def resized_away(t):
    t.untyped_storage().resize_(0)
